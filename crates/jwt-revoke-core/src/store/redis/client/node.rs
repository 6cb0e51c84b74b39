//! A connection that comes back: to one server, or to the primary that sentinels name.
//!
//! A peer that vanished sends no word of it, and the system would wait a quarter of an hour. So whatever is not
//! answered within its bound casts doubt on the connection, and while nothing is asked each second does: then it is
//! asked for an [echo](Wire::echo). Where there is none, or it answers another question, the connection is
//! given up and another is made. Sentinels are asked again each time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    defaults,
    store::redis::{
        client::{
            Command, Config, LinkOptions, Probing, Server, Target, backoff::Backoff,
            connects::Connects, sentinels::Watchers, wire::Wire,
        },
        failure::Failure,
        reply::Reply,
    },
};

/// A connection that is replaced when it breaks or goes silent, until it is dropped.
pub(super) struct Node {
    shared: Arc<Shared>,
    /// Dropped with the node, which ends the task that looks after it.
    _open: oneshot::Sender<()>,
}

struct Shared {
    state: watch::Sender<State>,
    options: LinkOptions,
    /// Another server may have taken the place of this one.
    look: Notify,
    looked: Mutex<Option<Instant>>,
    waiting: AtomicUsize,
    connects: Arc<Connects>,
    /// Notified of each failure.
    trouble: Option<Arc<Notify>>,
}

/// Whether there is a connection, or why not.
#[derive(Clone)]
enum State {
    /// Not yet, or the one that was has just ended.
    Connecting,
    Up(Arc<Wire>),
    Down(Failure),
}

impl Node {
    /// Starts connecting, on the current tokio runtime. `trouble` is notified of each failure.
    pub(super) fn start(
        config: Config,
        options: LinkOptions,
        connects: Arc<Connects>,
        trouble: Option<Arc<Notify>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::Connecting),
            options,
            look: Notify::new(),
            looked: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            connects,
            trouble,
        });
        let (open, closed) = oneshot::channel();
        let keeper = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                _ = closed => {}
                () = keep(&keeper, config) => {}
            }
            let state = keeper.state.send_replace(State::Down(ended()));
            if let State::Up(wire) = state {
                wire.give_up(ended());
            }
        });
        Self {
            shared,
            _open: open,
        }
    }

    /// Waits for the first news of the connection: that it is up, or why it is not.
    pub(super) async fn connected(&self) -> Result<(), Failure> {
        let mut state = self.shared.state.subscribe();
        let news = state.wait_for(|state| !matches!(state, State::Connecting));
        match news.await.as_deref() {
            Ok(State::Down(failure)) => Err(failure.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(ended()),
        }
    }

    /// Sends a command, once, within `bound`.
    pub(super) async fn send(&self, command: Command, bound: Duration) -> Result<Reply, Failure> {
        let deadline = Instant::now() + bound;
        let wire = self.wire(deadline, bound).await?;
        let answer = wire.send(command, left(deadline)).await;
        self.shared.judge(answer, bound)
    }

    /// Sends commands one right behind the other over one connection, once.
    pub(super) async fn send_all(
        &self,
        commands: Vec<Command>,
        bound: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let deadline = Instant::now() + bound;
        let wire = self.wire(deadline, bound).await?;
        let answers = wire.send_all(commands, left(deadline)).await;
        self.shared.judge(answers, bound)
    }

    /// Whether it is connected just now.
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.shared.state.borrow(), State::Up(wire) if !wire.has_ended())
    }

    /// The server that it is connected to.
    pub(super) fn server(&self) -> Option<Server> {
        match &*self.shared.state.borrow() {
            State::Up(wire) => Some(wire.server().clone()),
            _ => None,
        }
    }

    /// Looks whether another server has taken the place of this one, once a second at most.
    pub(super) fn look_again(&self) {
        let now = Instant::now();
        let mut last = self
            .shared
            .looked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now >= last + defaults::PROBE_INTERVAL) {
            *last = Some(now);
            self.shared.look.notify_one();
        }
    }

    /// The connection, as soon as there is one. The reason, at once, if the last attempt to make one failed.
    async fn wire(&self, deadline: Instant, bound: Duration) -> Result<Arc<Wire>, Failure> {
        if let State::Up(wire) = &*self.shared.state.borrow()
            && !wire.has_ended()
        {
            return Ok(Arc::clone(wire));
        }
        let _place = Waiting::one_more(&self.shared.waiting)?;
        let mut state = self.shared.state.subscribe();
        let there = state.wait_for(|state| match state {
            State::Connecting => false,
            State::Up(wire) => !wire.has_ended(),
            State::Down(_) => true,
        });
        match timeout_at(deadline, there).await {
            Ok(Ok(state)) => match &*state {
                State::Up(wire) => Ok(Arc::clone(wire)),
                State::Down(failure) => Err(failure.clone()),
                State::Connecting => Err(ended()),
            },
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(Failure::TimedOut(bound)),
        }
    }
}

impl Shared {
    /// What was asked for is what the bound is about, and trouble is passed on.
    fn judge<T>(&self, answer: Result<T, Failure>, bound: Duration) -> Result<T, Failure> {
        let Err(failure) = answer else {
            return answer;
        };
        if matches!(failure, Failure::TimedOut(_) | Failure::Unreachable(_)) {
            self.report_trouble();
        }
        Err(match failure {
            Failure::TimedOut(_) => Failure::TimedOut(bound),
            failure => failure,
        })
    }

    fn report_trouble(&self) {
        if let Some(trouble) = &self.trouble {
            trouble.notify_one();
        }
    }
}

/// Makes one connection after the other.
async fn keep(shared: &Shared, config: Config) {
    let mut watchers = match &config.target {
        Target::Sentinels(sentinels) => Some(Watchers::new(sentinels)),
        _ => None,
    };
    let mut backoff = Backoff::default();
    let mut was_up = false;
    loop {
        match open(
            &config,
            watchers.as_mut(),
            shared.options.connect_timeout,
            was_up,
        )
        .await
        {
            Ok(wire) => {
                was_up = true;
                let wire = match shared.options.probing {
                    Probing::Within(_) => wire.echoed(),
                    Probing::Never => wire,
                };
                let (wire, begun) = (Arc::new(wire), Instant::now());
                shared.connects.add(wire.server().clone());
                shared.state.send_replace(State::Up(Arc::clone(&wire)));
                let failure = watch_over(shared, &config, &wire, watchers.as_mut()).await;
                tracing::debug!(server = %wire.server(), reason = ?failure, "a connection to the store has ended");
                wire.give_up(failure.clone());
                // One that was of no use at all is not made again at once.
                if wire.has_answered() || begun.elapsed() > defaults::PROBE_INTERVAL {
                    backoff = Backoff::default();
                }
                let next = backoff.is_at_start();
                shared.state.send_replace(if next {
                    State::Connecting
                } else {
                    State::Down(failure)
                });
            }
            Err(failure) => {
                tracing::debug!(reason = ?failure, "no connection to the store");
                shared.state.send_replace(State::Down(failure));
            }
        }
        shared.report_trouble();
        sleep(backoff.next()).await;
    }
}

async fn open(
    config: &Config,
    watchers: Option<&mut Watchers>,
    bound: Duration,
    was_up: bool,
) -> Result<Wire, Failure> {
    match (&config.target, watchers) {
        (Target::One(server), _) => {
            let wire = if was_up {
                Wire::open(server, config, bound).await?
            } else {
                Wire::open_first(server, config, bound).await?
            };
            Ok(wire)
        }
        (Target::Sentinels(_), Some(watchers)) => watchers.open_primary(config, bound).await,
        _ => Err(Failure::odd("a Cluster is not connected to as one server")),
    }
}

/// Waits for the end of a connection: it broke, it does not answer, or another server has taken its place.
async fn watch_over(
    shared: &Shared,
    config: &Config,
    wire: &Wire,
    mut watchers: Option<&mut Watchers>,
) -> Failure {
    let Probing::Within(bound) = shared.options.probing else {
        return wire.ended().await;
    };
    loop {
        let look = tokio::select! {
            biased;
            failure = wire.ended() => return failure,
            () = shared.look.notified() => true,
            () = wire.doubted() => false,
            () = sleep(defaults::PROBE_INTERVAL) => false,
        };
        if look {
            let Some(watchers) = &mut watchers else {
                return Failure::Unreachable("the server is no primary any more".to_owned());
            };
            let named = tokio::select! {
                failure = wire.ended() => return failure,
                named = watchers.primary(config, bound) => named,
            };
            if named.is_ok_and(|named| named != *wire.server()) {
                return Failure::Unreachable("the sentinels name another primary".to_owned());
            }
            continue;
        }
        if let Err(failure) = wire.echo(bound).await {
            shared.report_trouble();
            return match failure {
                Failure::TimedOut(bound) => Failure::Unreachable(format!(
                    "the server did not answer on an open connection within {bound:?}, so it was replaced"
                )),
                Failure::Odd(reason) => Failure::Unreachable(reason),
                failure => failure,
            };
        }
        // Doubts while a server is slow are not looked into all the time.
        tokio::select! {
            failure = wire.ended() => return failure,
            () = sleep(BREATH) => {}
        }
    }
}

/// One of the commands that wait for a connection, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicUsize) -> Result<Self, Failure> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < QUEUE {
            return Ok(waiting);
        }
        Err(Failure::Unreachable(
            "too many commands wait for a connection already".to_owned(),
        ))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn ended() -> Failure {
    Failure::Unreachable("the client has ended".to_owned())
}

/// How many commands may wait for a connection. Beyond, they fail at once.
const QUEUE: usize = 4_096;

/// How long between two echoes at the least.
const BREATH: Duration = Duration::from_millis(100);
