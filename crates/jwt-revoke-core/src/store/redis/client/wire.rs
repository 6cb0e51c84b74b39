//! One connection to one server. It never reconnects: when it breaks, another takes its place.
//!
//! Settings of fred that matter here: no command is sent twice, the queue is bounded, every command has a
//! bound, and a connection that is given up is reset, so that nothing that it still held arrives later.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use fred::{
    clients::{Client, Pipeline},
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    types::{
        Builder, ClusterHash, ConnectHandle, CustomCommand, RespVersion, Value as FredValue,
        config::{
            Config as FredConfig, Options, Server as FredServer, ServerConfig, TcpConfig,
            UnresponsiveConfig,
        },
    },
};
use futures::future::join;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use crate::store::redis::{
    client::{
        Command, Config, Server, Value,
        echo::{Echoes, mixed_up},
        speech,
    },
    failure::Failure,
    reply::Reply,
};

/// A connection. It ends when it breaks, is given up, or is dropped.
pub(super) struct Wire {
    client: Client,
    server: Server,
    end: watch::Sender<Option<Failure>>,
    task: AbortHandle,
    /// Something was not answered in time.
    doubt: Notify,
    is_doubtful: AtomicBool,
    has_answered: AtomicBool,
    /// Whether answers are believed only with an echo behind them.
    is_echoed: bool,
    echoes: Arc<Echoes>,
}

/// The task that reads and writes, while nothing else ends it: it ends with its handle.
struct Driver(ConnectHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wire {
    /// Connects, logs in, and returns a connection that has answered. `bound` is for all of it.
    pub(super) async fn open(
        server: &Server,
        config: &Config,
        bound: Duration,
    ) -> Result<Self, Failure> {
        let opened = timeout(bound, Self::connect(server, config, bound)).await;
        opened.unwrap_or(Err(Failure::TimedOut(bound)))
    }

    /// Connects to a server for the first time: what it speaks may not be what the address says, and then the
    /// error says so.
    pub(super) async fn open_first(
        server: &Server,
        config: &Config,
        bound: Duration,
    ) -> Result<Self, Failure> {
        let mut opening = Box::pin(Self::open(server, config, bound));
        let failure = match timeout(bound / 2, &mut opening).await {
            Ok(Err(failure @ (Failure::Unreachable(_) | Failure::Odd(_)))) => Some(failure),
            Ok(opened) => return opened,
            Err(_) => None,
        };
        let mend = speech::mend(server, config.has_tls()).await;
        match (failure, mend) {
            (Some(Failure::Unreachable(said) | Failure::Odd(said)), Some(mend)) => {
                Err(Failure::Unreachable(format!("{said}; {mend}")))
            }
            (_, Some(mend)) => Err(closed(mend)),
            (Some(failure), None) => Err(failure),
            (None, None) => opening.await,
        }
    }

    async fn connect(server: &Server, config: &Config, bound: Duration) -> Result<Self, Failure> {
        let mut builder = Builder::from_config(fred_config(server, config));
        builder.with_connection_config(|connection| {
            connection.connection_timeout = bound;
            connection.internal_command_timeout = bound;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = QUEUE;
            connection.tcp = TcpConfig {
                nodelay: Some(true),
                // Closing resets the connection: a command that was given up must not arrive later.
                linger: Some(Duration::ZERO),
                ..TcpConfig::default()
            };
            // It counts from the last write, and writes never cease: see `Node`.
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: None,
                ..UnresponsiveConfig::default()
            };
        });
        builder.with_performance_config(|performance| {
            performance.broadcast_channel_capacity = 16;
        });
        let client = builder
            .build()
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        let mut driver = Driver(client.connect());
        let connected = tokio::select! {
            connected = client.wait_for_connect() => connected,
            ended = &mut driver.0 => match ended {
                Ok(ended) => ended.and(Err(Error::new(ErrorKind::IO, "Connection closed."))),
                Err(_) => Err(Error::new(ErrorKind::Canceled, "Connecting was aborted.")),
            },
        };
        connected.map_err(|error| failure(&error, bound))?;
        let (end, task) = (watch::Sender::new(None), driver.0.abort_handle());
        let report = end.clone();
        tokio::spawn(async move {
            let failure = match (&mut driver.0).await {
                Ok(Err(error)) => failure(&error, Duration::ZERO),
                _ => closed("the connection was closed"),
            };
            set_end(&report, failure);
        });
        let wire = Self {
            echoes: Arc::new(Echoes::new(client.clone(), end.clone())),
            client,
            server: server.clone(),
            end,
            task,
            doubt: Notify::new(),
            is_doubtful: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            is_echoed: false,
        };
        Ok(wire)
    }

    /// Turns on the check that answers belong to their questions: an echo behind them.
    pub(super) fn echoed(mut self) -> Self {
        self.is_echoed = true;
        self
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Whether it has ended, as far as was noticed.
    pub(super) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Whether any command was answered, other than by an error.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Waits for the end, and returns the reason.
    pub(super) async fn ended(&self) -> Failure {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await;
        let failure = ended.ok().and_then(|end| end.clone());
        failure.unwrap_or_else(|| closed("it was closed"))
    }

    /// Closes it at once: what was sent and not answered fails, and nothing waits for the peer.
    pub(super) fn give_up(&self, failure: Failure) {
        set_end(&self.end, failure);
        self.task.abort();
    }

    /// Waits until something was not answered in time since this was asked last.
    pub(super) async fn doubted(&self) {
        loop {
            if self.is_doubtful.swap(false, Ordering::AcqRel) {
                return;
            }
            self.doubt.notified().await;
        }
    }

    /// Before the task that drives it has noticed, a command may find that it is broken.
    fn failed(&self, error: &Error, bound: Duration) -> Failure {
        let failure = failure(error, bound);
        let is_broken = match error.kind() {
            ErrorKind::IO | ErrorKind::Canceled => true,
            #[cfg(feature = "redis-rustls")]
            ErrorKind::Tls => true,
            _ => false,
        };
        if is_broken {
            self.give_up(failure.clone());
        }
        failure
    }

    fn is_late(&self) {
        self.is_doubtful.store(true, Ordering::Release);
        self.doubt.notify_one();
    }

    /// Sends a command, and believes the answer when the [echo](Echoes) behind it has come back.
    pub(super) async fn send(&self, command: Command, bound: Duration) -> Result<Reply, Failure> {
        let client = self.client.with_options(&options(bound));
        let mut answer = Box::pin(custom(&client, command));
        // Now it is on its way, and the echo goes behind it.
        let sent = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        let answered = async {
            if let Poll::Ready(answer) = sent {
                return (answer, None);
            }
            if !self.is_echoed {
                return (answer.await, None);
            }
            let echo = self.echoes.behind();
            let (answer, echo) = join(answer, echo).await;
            (answer, Some(echo))
        };
        let (answer, echo) = tokio::select! {
            biased;
            answered = timeout(bound, answered) => match answered {
                Ok(answered) => answered,
                Err(_) => {
                    self.is_late();
                    return Err(Failure::TimedOut(bound));
                }
            },
            failure = self.ended() => return Err(failure),
        };
        let answer = answer.map_err(|error| self.failed(&error, bound));
        match echo {
            Some(Err(failure)) if failure == mixed_up() => {
                let failure = closed("a connection lost answers of the server, so it was replaced");
                self.give_up(failure.clone());
                return Err(failure);
            }
            Some(Err(failure)) if answer.is_ok() => return Err(failure),
            _ => {}
        }
        match &answer {
            Ok(_) => self.has_answered.store(true, Ordering::Relaxed),
            Err(Failure::TimedOut(_)) => self.is_late(),
            Err(_) => {}
        }
        answer
    }

    /// Sends commands one right behind the other, and returns the answer to each.
    pub(super) async fn send_all(
        &self,
        commands: Vec<Command>,
        bound: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let pipeline = Pipeline::from(self.client.with_options(&options(bound)));
        let expected = commands.len();
        for Command { name, args } in commands {
            let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
            let args: Vec<FredValue> = args.into_iter().map(|Value(value)| value).collect();
            // Only queued.
            pipeline
                .custom::<FredValue, FredValue>(command, args)
                .await
                .map_err(|error| failure(&error, bound))?;
        }
        let answers = tokio::select! {
            biased;
            answers = timeout(bound, pipeline.try_all::<FredValue>()) => answers,
            failure = self.ended() => return Err(failure),
        };
        let Ok(answers) = answers else {
            self.is_late();
            return Err(Failure::TimedOut(bound));
        };
        let answers = answers.into_iter().map(|answer| match answer {
            Ok(value) => Ok(Reply::from(value)),
            Err(error) => Err(self.failed(&error, bound)),
        });
        let answers: Vec<_> = answers.collect();
        if answers.len() == expected {
            return Ok(answers);
        }
        // The client tells in one what befell them all.
        match answers.into_iter().next() {
            Some(Err(failure)) => {
                if matches!(failure, Failure::TimedOut(_)) {
                    self.is_late();
                }
                Err(failure)
            }
            _ => Err(Failure::odd("several commands were answered as one")),
        }
    }

    /// Asks for an echo. An error if it is the echo of something else, or when for `bound` there was neither this
    /// one nor one that was asked for before: a server that is slow is not silent. One that refuses to run it is
    /// there too.
    pub(super) async fn echo(&self, bound: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut echo = self.echoes.behind();
        let echo = loop {
            let silence = self.echoes.silence().min(begun.elapsed());
            let Some(left) = bound.checked_sub(silence).filter(|left| !left.is_zero()) else {
                return Err(Failure::TimedOut(bound));
            };
            tokio::select! {
                biased;
                echo = &mut echo => break echo,
                failure = self.ended() => return Err(failure),
                () = sleep(left) => {}
            }
        };
        match echo {
            Err(Failure::Refused(_)) => Ok(()),
            echo => echo,
        }
    }
}

/// Sends a command, for as long as it takes.
pub(super) async fn ask(client: &Client, command: Command) -> Result<Reply, Failure> {
    let client = client.with_options(&Options {
        max_attempts: Some(1),
        ..Options::default()
    });
    let answer = custom(&client, command).await;
    answer.map_err(|error| failure(&error, Duration::ZERO))
}

async fn custom(client: &impl ClientLike, command: Command) -> Result<Reply, Error> {
    let Command { name, args } = command;
    let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
    let args: Vec<FredValue> = args.into_iter().map(|Value(value)| value).collect();
    let answer: FredValue = client.custom(command, args).await?;
    Ok(answer.into())
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.give_up(closed("it was closed"));
    }
}

/// The first reason is the one that counts.
fn set_end(end: &watch::Sender<Option<Failure>>, failure: Failure) {
    end.send_if_modified(|end| {
        let first = end.is_none();
        if first {
            *end = Some(failure);
        }
        first
    });
}

fn fred_config(server: &Server, config: &Config) -> FredConfig {
    #[allow(unused_mut, reason = "without TLS it stays as it is")]
    let mut to = FredServer::new(server.host.as_str(), server.port);
    #[cfg(feature = "redis-rustls")]
    {
        to.tls_server_name = Some(config.certified_name(server).into());
    }
    FredConfig {
        // The first failure is the end: when to try again is decided here.
        fail_fast: true,
        username: config.username.clone(),
        password: config.password.clone(),
        server: ServerConfig::Centralized { server: to },
        database: config.database,
        version: if config.resp3 {
            RespVersion::RESP3
        } else {
            RespVersion::RESP2
        },
        #[cfg(feature = "redis-rustls")]
        tls: config.tls.clone().map(|tls| tls.0),
        ..FredConfig::default()
    }
}

/// fred's own timeout, since it also takes the command out of its queue. Nothing else is waited for: a full
/// queue is an error at once.
fn options(bound: Duration) -> Options {
    Options {
        timeout: Some(bound.max(SHORTEST_BOUND)),
        max_attempts: Some(1),
        ..Options::default()
    }
}

fn closed(reason: &str) -> Failure {
    Failure::Unreachable(reason.to_owned())
}

fn failure(error: &Error, bound: Duration) -> Failure {
    let details = error.details();
    match error.kind() {
        ErrorKind::Timeout if !bound.is_zero() => Failure::TimedOut(bound),
        ErrorKind::Auth | ErrorKind::Cluster | ErrorKind::InvalidCommand => {
            Failure::Refused(details.to_owned())
        }
        ErrorKind::Unknown | ErrorKind::InvalidArgument | ErrorKind::Config
            if starts_with_a_code(details) =>
        {
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

/// How many commands may wait to be written. Beyond, they fail at once.
const QUEUE: usize = 4_096;

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
