//! A decision, made or on its way.

use std::{
    fmt,
    future::IntoFuture,
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;

use crate::guard::{Access, Denied};

/// The answer of [`Guard::check`](crate::Guard::check): at once, or after asking the store.
///
/// Await it, or match on it to save an allocation and a poll when the answer is there.
#[must_use = "a token is not checked until the answer is looked at"]
pub enum Checked {
    /// The decision.
    Now(Result<Access, Denied>),
    /// The store was asked. Dropping this stops waiting.
    Later(BoxFuture<'static, Result<Access, Denied>>),
}

impl IntoFuture for Checked {
    type Output = Result<Access, Denied>;
    type IntoFuture = CheckFuture;

    fn into_future(self) -> CheckFuture {
        CheckFuture(Some(self))
    }
}

/// The future of a [`Checked`].
#[must_use = "futures do nothing unless polled"]
pub struct CheckFuture(Option<Checked>);

impl Future for CheckFuture {
    type Output = Result<Access, Denied>;

    /// # Panics
    ///
    /// When polled again after it is complete.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.take().expect("polled after completion") {
            Checked::Now(decision) => Poll::Ready(decision),
            Checked::Later(mut answer) => {
                let poll = answer.as_mut().poll(cx);
                if poll.is_pending() {
                    self.0 = Some(Checked::Later(answer));
                }
                poll
            }
        }
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(decision) => f.debug_tuple("Now").field(decision).finish(),
            Self::Later(_) => f.debug_struct("Later").finish_non_exhaustive(),
        }
    }
}

impl fmt::Debug for CheckFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckFuture").finish_non_exhaustive()
    }
}
