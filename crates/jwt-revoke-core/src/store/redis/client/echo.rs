//! Which answer belongs to which question?
//!
//! Answers of a server carry no names; they come in the order of the questions. When bytes of an answer are lost on
//! a connection that stays open, each question gets the answer to another, and "not revoked" of one token
//! would be believed of the next. So behind the questions of a moment goes another, whose answer is known: when it
//! comes back, as many answers have come as there were questions, and each is believed.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use fred::clients::Client;
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::task::yield_now;

use crate::store::redis::{
    client::{Command, wire},
    failure::Failure,
    reply::Reply,
};

/// The echoes on one connection.
#[derive(Default)]
pub(super) struct Echoes {
    /// The one that is sent in a moment, behind all that has been sent until then.
    next: Mutex<Option<Echo>>,
    count: AtomicU64,
}

/// An echo that all share that were sent before it.
pub(super) type Echo = Shared<BoxFuture<'static, Result<(), Failure>>>;

impl Echoes {
    /// The echo behind whatever has been sent until now.
    pub(super) fn behind(self: &Arc<Self>, client: &Client) -> Echo {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(echo) = &*next {
            return echo.clone();
        }
        let (echoes, client) = (Arc::downgrade(self), client.clone());
        let echo = send(echoes, client).boxed().shared();
        *next = Some(echo.clone());
        echo
    }
}

async fn send(echoes: Weak<Echoes>, client: Client) -> Result<(), Failure> {
    // What else is about to be sent shares it.
    yield_now().await;
    let ended = || Failure::Unreachable("it was closed".to_owned());
    let number = {
        let echoes = echoes.upgrade().ok_or_else(ended)?;
        // Before it is sent: what is sent from here on needs another.
        let mut next = echoes.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.take();
        echoes.count.fetch_add(1, Ordering::Relaxed)
    };
    let tag = format!("echo-{number}");
    let command = Command::of("EVAL", &["return ARGV[1]", "0", tag.as_str()]);
    match wire::ask(&client, command).await? {
        Reply::Text(text) if text == tag.as_bytes() => Ok(()),
        _ => Err(mixed_up()),
    }
}

/// Answers came to other questions.
pub(super) fn mixed_up() -> Failure {
    Failure::Odd("the answers on a connection did not belong to the questions".to_owned())
}
