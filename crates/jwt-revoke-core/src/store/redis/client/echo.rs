//! Which answer belongs to which question?
//!
//! Answers of a server carry no names; they come in the order of the questions. When bytes of an answer are lost on
//! a connection that stays open, each question gets the answer to another, and "not revoked" of one token
//! would be believed of the next. So behind the questions of a moment goes another, whose answer is known: when it
//! comes back, as many answers have come as there were questions, and each is believed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fred::clients::Client;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::{sync::watch, task::yield_now, time::Instant};

use crate::store::redis::{
    client::{Command, wire},
    failure::Failure,
    reply::Reply,
};

/// The echoes on one connection.
pub(super) struct Echoes {
    client: Client,
    end: watch::Sender<Option<Failure>>,
    /// The one that is sent in a moment, behind all that has been sent until then.
    next: Mutex<Option<Echo>>,
    count: AtomicU64,
    begun: Instant,
    /// When the last came back, in milliseconds since `begun`.
    last: AtomicU64,
}

/// An echo that all share that were sent before it.
pub(super) type Echo = Shared<BoxFuture<'static, Result<(), Failure>>>;

impl Echoes {
    /// For a connection that reports its end to `end`.
    pub(super) fn new(client: Client, end: watch::Sender<Option<Failure>>) -> Self {
        Self {
            client,
            end,
            next: Mutex::new(None),
            count: AtomicU64::new(0),
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// The echo behind whatever has been sent until now.
    pub(super) fn behind(self: &Arc<Self>) -> Echo {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(echo) = &*next {
            return echo.clone();
        }
        // On a task of its own: that answers go on coming must be seen when their callers have given up.
        let echo = tokio::spawn(send(Arc::clone(self)));
        let echo = echo.map(|echo| echo.unwrap_or_else(|_| Err(ended())));
        let echo = echo.boxed().shared();
        *next = Some(echo.clone());
        echo
    }

    /// How long no echo has come back.
    pub(super) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }
}

async fn send(echoes: Arc<Echoes>) -> Result<(), Failure> {
    // What else is about to be sent shares it.
    yield_now().await;
    let number = {
        // Before it is sent: what is sent from here on needs another.
        let mut next = echoes.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take();
        echoes.count.fetch_add(1, Ordering::Relaxed)
    };
    let tag = format!("echo-{number}");
    let command = Command::of("EVAL", &["return ARGV[1]", "0", tag.as_str()]);
    let mut end = echoes.end.subscribe();
    let answer = tokio::select! {
        biased;
        answer = wire::ask(&echoes.client, command) => answer,
        _ = end.wait_for(Option::is_some) => return Err(ended()),
    };
    if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
        let millis = echoes.begun.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        echoes.last.fetch_max(millis, Ordering::Relaxed);
    }
    match answer? {
        Reply::Text(text) if text == tag.as_bytes() => Ok(()),
        _ => Err(mixed_up()),
    }
}

fn ended() -> Failure {
    Failure::Unreachable("the connection was closed".to_owned())
}

/// Answers came to other questions.
pub(super) fn mixed_up() -> Failure {
    Failure::Odd("the answers on a connection did not belong to the questions".to_owned())
}
