//! The one seam to fred: connections, commands, and what they fail with.
//!
//! What fred does by default and must not do here: it waits for ever for an answer, sends a command
//! up to three times, queues without bound, and gives up for good on some errors of a connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fred::{
    clients::{Client, Pipeline},
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, ClusterInterface as _, EventInterface as _},
    types::{
        Builder, ClusterHash, CustomCommand, Value,
        config::{Config, Options, ReconnectPolicy, Server, TcpConfig, UnresponsiveConfig},
    },
};
use tokio::{
    sync::{broadcast::error::RecvError, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::store::redis::{
    client::connects::{Connection, Connects},
    failure::Failure,
    reply::Reply,
    scripts::Script,
    words::Words,
};

/// A connection (one to every primary of a Cluster) that comes back by itself, until it is dropped.
pub(in crate::store::redis) struct Link {
    client: Client,
    state: watch::Receiver<LinkState>,
    timeout: Duration,
    attempts: u32,
    /// Dropped with the link, which ends the task that drives it.
    _open: oneshot::Sender<()>,
    demoted: Mutex<Option<tokio::time::Instant>>,
    connects: Arc<Connects>,
}

/// What a link is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::redis) struct LinkOptions {
    /// How long a command may take, unless it says otherwise.
    pub(in crate::store::redis) timeout: Duration,
    /// How long connecting, with its first commands, may take.
    pub(in crate::store::redis) connect_timeout: Duration,
    /// How often a command is sent when the connection breaks under it. Scripts that write: once.
    pub(in crate::store::redis) attempts: u32,
}

/// A command and its arguments.
pub(in crate::store::redis) struct Command {
    pub(in crate::store::redis) name: &'static str,
    pub(in crate::store::redis) args: Vec<Value>,
}

/// Whether a link is connected, or why not.
#[derive(Clone, Debug)]
pub(in crate::store::redis) enum LinkState {
    Connecting,
    Up,
    Down(Failure),
}

impl Link {
    /// Starts connecting, on the current tokio runtime.
    pub(in crate::store::redis) fn start(config: Config, options: LinkOptions) -> Result<Self, String> {
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 1_000, 2));
        builder.with_connection_config(|connection| {
            connection.connection_timeout = options.connect_timeout;
            connection.internal_command_timeout = options.connect_timeout;
            connection.max_command_attempts = options.attempts;
            connection.max_command_buffer_len = QUEUE;
            connection.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
            // A peer that vanished without a word is noticed here, not after the system's minutes.
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(options.timeout.max(UNRESPONSIVE)),
                interval: UNRESPONSIVE / 4,
            };
        });
        builder.with_performance_config(|performance| {
            performance.broadcast_channel_capacity = 256;
        });
        let client = builder.build().map_err(|error| error.to_string())?;
        let (report, state) = watch::channel(LinkState::Connecting);
        let (open, closed) = oneshot::channel();
        let connects = Arc::new(Connects::default());
        tokio::spawn(drive(client.clone(), report, Arc::clone(&connects), closed));
        Ok(Self {
            client,
            state,
            timeout: options.timeout,
            attempts: options.attempts,
            _open: open,
            demoted: Mutex::new(None),
            connects,
        })
    }

    /// Waits for the first news of the connection: that it is up, or why it is not.
    pub(in crate::store::redis) async fn connected(&self) -> Result<(), Failure> {
        let mut state = self.state.clone();
        let news = state
            .wait_for(|state| !matches!(state, LinkState::Connecting))
            .await;
        match news.as_deref() {
            Ok(LinkState::Down(failure)) => Err(failure.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::Unreachable("the client has ended".to_owned())),
        }
    }

    /// The primary that has `slot`, as far as this client of a Cluster knows.
    pub(in crate::store::redis) fn server_of(&self, slot: u16) -> Option<Server> {
        let routing = self.client.cached_cluster_state()?;
        routing.get_server(slot).cloned()
    }

    /// The latest connection to the primary of `slot`: when it is another, so may the server be.
    pub(in crate::store::redis) fn connection(&self, slot: u16) -> Connection {
        self.connects.latest(self.server_of(slot))
    }

    /// Sends a command to the primary of `slot`, within the link's bound.
    pub(in crate::store::redis) async fn send(
        &self,
        slot: u16,
        command: &'static str,
        args: Vec<Value>,
    ) -> Result<Reply, Failure> {
        self.send_within(slot, command, args, self.timeout).await
    }

    /// Runs a script on the primary of `slot` within `bound` and until `deadline`; a server that does
    /// not know it yet, or has forgotten it, is told.
    pub(in crate::store::redis) async fn run(
        &self,
        slot: u16,
        script: &'static Script,
        words: &Words,
        bound: Duration,
        deadline: Instant,
    ) -> Result<Vec<Reply>, Failure> {
        let left = || bound.min(deadline.saturating_duration_since(Instant::now()));
        let known = words.of_script(script.sha());
        let mut answer = self.send_within(slot, "EVALSHA", known, left()).await;
        if matches!(&answer, Err(failure) if failure.is_no_script()) {
            let told = words.of_script(script.text());
            answer = self.send_within(slot, "EVAL", told, left()).await;
        }
        match answer? {
            Reply::List(list) => Ok(list),
            other => Err(Failure::odd(format!("a script answered {other:?}"))),
        }
    }

    /// Sends a command to the primary of `slot`, within `bound`.
    pub(in crate::store::redis) async fn send_within(
        &self,
        slot: u16,
        command: &'static str,
        args: Vec<Value>,
        bound: Duration,
    ) -> Result<Reply, Failure> {
        let bound = bound.max(SHORTEST_BOUND);
        // fred's own timeout, since it also takes the command out of its queue. Nothing else is waited
        // for: a full queue is an error at once.
        let options = Options {
            timeout: Some(bound),
            max_attempts: Some(self.attempts),
            ..Options::default()
        };
        let command = CustomCommand::new_static(command, ClusterHash::Custom(slot), false);
        let client = self.client.with_options(&options);
        let answer = client.custom::<Value, Value>(command, args).await;
        let answer = answer.map(Reply::from);
        let answer = answer.map_err(|error| failure(&error, bound));
        if let Err(failure) = &answer {
            self.judge(failure);
        }
        answer
    }

    /// Sends commands one right behind the other, and returns the answer to each. The link is to one
    /// server. That all go over one connection is likely, and not promised: it may break between two.
    pub(in crate::store::redis) async fn send_all(
        &self,
        commands: Vec<Command>,
        bound: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let options = Options {
            timeout: Some(bound.max(SHORTEST_BOUND)),
            max_attempts: Some(self.attempts),
            ..Options::default()
        };
        let pipeline = Pipeline::from(self.client.with_options(&options));
        let expected = commands.len();
        for Command { name, args } in commands {
            let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
            // Only queued.
            pipeline
                .custom::<Value, Value>(command, args)
                .await
                .map_err(|error| failure(&error, bound))?;
        }
        let Ok(answers) = timeout(bound, pipeline.try_all::<Value>()).await else {
            return Err(Failure::TimedOut(bound));
        };
        let answers = answers.into_iter().map(|answer| match answer {
            Ok(value) => Ok(Reply::from(value)),
            Err(error) => Err(failure(&error, bound)),
        });
        let answers: Vec<_> = answers.collect();
        for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.judge(failure);
        }
        if answers.len() == expected {
            return Ok(answers);
        }
        // The client tells in one what befell them all.
        match answers.into_iter().next() {
            Some(Err(failure)) => Err(failure),
            _ => Err(Failure::odd("several commands were answered as one")),
        }
    }

    /// Looks for another primary where a failure says that this one may be none any more.
    fn judge(&self, failure: &Failure) {
        if failure.is_read_only() || failure.is_alone() && self.client.uses_sentinels() {
            self.look_for_the_primary();
        }
    }

    /// Whether this client of Sentinels is connected to another server than `other` is.
    pub(in crate::store::redis) fn is_elsewhere(&self, other: &Self) -> bool {
        let (ours, theirs) = (
            self.client.active_connections(),
            other.client.active_connections(),
        );
        self.client.uses_sentinels() && !ours.is_empty() && !theirs.is_empty() && ours != theirs
    }

    /// A primary that was demoted keeps its connections: look for the new one, once a second at most.
    pub(in crate::store::redis) fn look_for_the_primary(&self) {
        let now = tokio::time::Instant::now();
        let mut last = self.demoted.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now >= last + Duration::from_secs(1)) {
            *last = Some(now);
            let client = self.client.clone();
            tokio::spawn(async move {
                let _ = client.force_reconnection().await;
            });
        }
    }
}

/// Keeps a client connected and tells its state, until the link is dropped.
async fn drive(
    client: Client,
    report: watch::Sender<LinkState>,
    made: Arc<Connects>,
    mut closed: oneshot::Receiver<()>,
) {
    let mut errors = client.error_rx();
    let mut connects = client.reconnect_rx();
    loop {
        let mut task = client.connect();
        loop {
            tokio::select! {
                _ = &mut closed => {
                    let _ = timeout(Duration::from_secs(1), client.quit()).await;
                    task.abort();
                    return;
                }
                // fred gives up on some errors, such as one node of a Cluster that is none. They
                // can be mended while we run, so we do not.
                _ = &mut task => break,
                connect = connects.recv() => match connect {
                    Ok(server) => {
                        made.add(server);
                        report.send_replace(LinkState::Up);
                    }
                    Err(RecvError::Lagged(_)) => {
                        made.add_unknown();
                        report.send_replace(LinkState::Up);
                    }
                    Err(RecvError::Closed) => break,
                },
                error = errors.recv() => match error {
                    Ok((error, _)) => {
                        tracing::debug!(%error, "connection to the store");
                        report.send_replace(LinkState::Down(failure(&error, Duration::ZERO)));
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
            }
        }
        task.abort();
        errors = client.error_rx();
        connects = client.reconnect_rx();
        tokio::select! {
            _ = &mut closed => return,
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
}

fn failure(error: &Error, bound: Duration) -> Failure {
    let details = error.details();
    match error.kind() {
        ErrorKind::Timeout if !bound.is_zero() => Failure::TimedOut(bound),
        ErrorKind::Auth | ErrorKind::Cluster | ErrorKind::InvalidCommand => {
            Failure::Refused(details.to_owned())
        }
        ErrorKind::Unknown | ErrorKind::InvalidArgument if starts_with_a_code(details) => {
            Failure::Refused(details.to_owned())
        }
        ErrorKind::Protocol | ErrorKind::Parse | ErrorKind::NotFound => {
            Failure::Odd(details.to_owned())
        }
        _ => Failure::Unreachable(error.to_string()),
    }
}

/// Whether these are a server's words and not fred's.
fn starts_with_a_code(details: &str) -> bool {
    let code = details.split_whitespace().next().unwrap_or("");
    code.len() >= 3 && code.bytes().all(|b| b.is_ascii_uppercase())
}

impl Command {
    /// A command of words.
    pub(in crate::store::redis) fn of(name: &'static str, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| Value::from(*arg)).collect();
        Self { name, args }
    }
}

/// How many commands may wait to be written. Beyond, they fail at once.
const QUEUE: usize = 4_096;

/// How long a peer may be silent with an answer outstanding before its connection is replaced.
const UNRESPONSIVE: Duration = Duration::from_secs(2);

/// For fred, none at all means for ever.
const SHORTEST_BOUND: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_server_are_told_from_those_of_the_client() {
        let told = |kind, details: &'static str| failure(&Error::new(kind, details), QUARTER);
        assert_eq!(
            told(ErrorKind::Unknown, "NOPERM no"),
            Failure::Refused("NOPERM no".to_owned())
        );
        assert!(matches!(
            told(ErrorKind::Unknown, "Failed to route command."),
            Failure::Unreachable(_)
        ));
        assert_eq!(told(ErrorKind::Timeout, "late"), Failure::TimedOut(QUARTER));
    }

    const QUARTER: Duration = Duration::from_millis(250);
}
