//! Connections that outlive the check of their token.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::{self, BoxFuture, Either, FutureExt as _};
use futures_timer::Delay;

use super::{Access, Consistency, Guard, Outage};
use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Cutoffs, Dimension},
    store::StoreError,
    verify::VerifyError,
};

/// Why an open connection must be closed. `Display` is for the operator's log; the client sees only
/// [`close_code`](Self::close_code) and [`close_reason`](Self::close_reason), which do not tell whether
/// its token expired or was revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The token lapsed, by the guard's clock and with its leeway.
    #[error("the token has expired")]
    Expired,
    /// A cutoff covers the token.
    #[error("the token is revoked{}", dimension.as_ref().map(|d| format!(" by {d}")).unwrap_or_default())]
    Revoked {
        /// In which respect, where it is known.
        dimension: Option<Dimension>,
    },
    /// The verifier would not accept the token any more: its key was removed or replaced
    /// ([`VerifyError::UnknownKey`]; secrets are not compared, so new ones count as others), or the
    /// clock was set back.
    #[error("the token is no longer valid")]
    Invalid(#[source] VerifyError),
    /// For [`ENDED_UNKNOWN`](defaults::ENDED_UNKNOWN) nobody could say whether the token was revoked,
    /// and the policy is [`Outage::Deny`].
    #[error("revocation state was unknown for too long")]
    Unknown(#[source] StoreError),
    /// The last handle of the guard is gone, so nobody can say any more. A program that stops is why.
    #[error("the guard is gone")]
    NoGuard,
}

impl Ended {
    /// The code that a WebSocket is closed with: 1008, policy violation, when the token is no longer
    /// good; 1001, going away, when the guard is gone (RFC 6455 §7.4.1); 1013, try again later (in the
    /// registry of §11.7), during an outage: the token may still be good.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Expired | Self::Revoked { .. } | Self::Invalid(_) => 1008,
            Self::Unknown(_) => 1013,
            Self::NoGuard => 1001,
        }
    }

    /// A few words for the client's developer, the same for all reasons behind one code; at most 123
    /// bytes, which is what a close frame holds (RFC 6455 §5.5).
    pub fn close_reason(&self) -> &'static str {
        match self {
            Self::Expired | Self::Revoked { .. } | Self::Invalid(_) => {
                "the access token is invalid, expired or revoked"
            }
            Self::Unknown(_) => "try again shortly; the access token may still be good",
            Self::NoGuard => "going away",
        }
    }
}

/// Waits until a token no longer gives access: what [`Access::ended`] returns.
///
/// Where this process knows what is revoked (an embedded store, or a copy of Redis under
/// [`Consistency::Mirror`]) it looks there, every [`ENDED_GLANCE`](defaults::ENDED_GLANCE) and at least
/// four times in the `max_staleness` that is asked for: a revocation takes that long and what the copy is
/// behind. Otherwise the store is asked, about every [`ENDED_POLL`](defaults::ENDED_POLL), which is one
/// command each time. Expiry is noticed when it comes.
///
/// While the store does not answer, what is known to be revoked still ends the connection. Under
/// [`Outage::Deny`] everything else ends once nothing was known for
/// [`ENDED_UNKNOWN`](defaults::ENDED_UNKNOWN), under [`Outage::Allow`] it stays open.
///
/// It holds no task and no handle of the guard: it works while it is polled, and dropping it is the end of
/// it. It looks when it is first polled, so one that is made anew for each message asks for each message:
/// make one for a connection, and poll it by `&mut`.
#[must_use = "futures do nothing unless polled"]
pub struct Ending(BoxFuture<'static, Ended>);

impl Ending {
    pub(super) fn of(access: Access) -> Self {
        Self(watch(access).boxed())
    }
}

impl Future for Ending {
    type Output = Ended;

    /// # Panics
    ///
    /// When polled again after it is complete.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").finish_non_exhaustive()
    }
}

async fn watch(access: Access) -> Ended {
    let mut silence = None;
    loop {
        let wait = match look(&access, &mut silence).await {
            Ok(wait) => wait,
            Err(ended) => {
                let jti = access
                    .jti()
                    .map(|jti| tracing::field::display(jti.quoted()));
                tracing::debug!(jti, reason = %crate::Report(&ended).quoted(), "an open connection ends");
                return ended;
            }
        };
        Delay::new(wait).await;
    }
}

/// Looks once, and says when to look again. The guard is kept no longer than this takes.
async fn look(access: &Access, silence: &mut Option<Silence>) -> Result<Duration, Ended> {
    let guard = access.guard().ok_or(Ended::NoGuard)?;
    let left = left_of(access, &guard)?;
    let (found, pause) = match guard.found_now(access.token()) {
        Some(found) => (found, glance(guard.consistency)),
        None => (ask(access, &guard, left).await, defaults::ENDED_POLL),
    };
    let unknown = access
        .token()
        .judged(found)
        .map_err(|dimension| Ended::Revoked { dimension })?;
    let now = guard.verifier().clock().now();
    let patience = match (unknown, guard.outage) {
        (None, _) => {
            *silence = None;
            Duration::MAX
        }
        (Some(_), Outage::Allow) => Duration::MAX,
        (Some(error), Outage::Deny) => {
            let lasted = silence.get_or_insert_with(|| Silence::from(now)).until(now);
            match defaults::ENDED_UNKNOWN.checked_sub(lasted) {
                Some(patience) if !patience.is_zero() => patience,
                _ => return Err(Ended::Unknown(error)),
            }
        }
    };
    // It may have lapsed while the store was asked.
    let left = left_of(access, &guard)?;
    Ok(jittered(pause).min(left).min(patience))
}

/// How long the token has to live, if it is in force.
fn left_of(access: &Access, guard: &Guard) -> Result<Duration, Ended> {
    let verifier = guard.verifier();
    guard
        .still_holds(access.verified())
        .map_err(|error| match error {
            VerifyError::Expired => Ended::Expired,
            error => Ended::Invalid(error),
        })?;
    let end = verifier.lapses_at(access.verified(), guard.kept());
    let left = end.saturating_since(verifier.clock().now());
    // The clock may have struck in between.
    Ok(left.max(Duration::from_millis(1)))
}

/// Asks the store, for no longer than until it would be asked again: one that hangs must not hide that the
/// token lapses.
async fn ask(access: &Access, guard: &Guard, left: Duration) -> Result<Cutoffs, StoreError> {
    let bound = defaults::ENDED_POLL.min(left);
    let answer = pin!(guard.found(access.token()));
    match future::select(answer, Delay::new(bound)).await {
        Either::Left((found, _)) => found,
        Either::Right(_) => Err(StoreError::TimedOut {
            store: "the store".to_owned(),
            bound,
        }),
    }
}

fn glance(consistency: Consistency) -> Duration {
    match consistency {
        Consistency::Mirror { max_staleness } => {
            (max_staleness.max(defaults::SHORTEST_STALENESS) / 4).min(defaults::ENDED_GLANCE)
        }
        Consistency::Strict | Consistency::Fenced => defaults::ENDED_GLANCE,
    }
}

/// Between half of it and all of it.
fn jittered(pause: Duration) -> Duration {
    // Keyed anew each time.
    let draw = RandomState::new().build_hasher().finish() % 1024;
    let half = pause / 2;
    half + half.mul_f64(draw as f64 / 1024.0)
}

/// Since when nothing is known: by the guard's clock and by one that nobody sets, whichever says longer.
struct Silence {
    wall: Timestamp,
    monotonic: Instant,
}

impl Silence {
    fn from(wall: Timestamp) -> Self {
        Self {
            wall,
            monotonic: Instant::now(),
        }
    }

    fn until(&self, wall: Timestamp) -> Duration {
        let by_clock = wall.saturating_since(self.wall);
        self.monotonic.elapsed().max(by_clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_never_longer_than_what_is_promised() {
        let waits: Vec<_> = (0..1000).map(|_| jittered(defaults::ENDED_POLL)).collect();
        let half = defaults::ENDED_POLL / 2;
        assert!(
            waits
                .iter()
                .all(|wait| (half..=defaults::ENDED_POLL).contains(wait))
        );
        for eighth in 0..8 {
            let from = half + half / 8 * eighth;
            let within = waits
                .iter()
                .filter(|wait| (from..from + half / 8).contains(*wait));
            assert!(within.count() > 50, "from {from:?} on");
        }
    }

    #[test]
    fn a_copy_is_looked_at_four_times_in_the_staleness_that_is_borne() {
        let glance = |millis| glance(Consistency::mirror(Duration::from_millis(millis)));
        assert_eq!(glance(200), Duration::from_millis(50));
        assert_eq!(glance(1), defaults::SHORTEST_STALENESS / 4);
        assert_eq!(glance(60_000), defaults::ENDED_GLANCE);
    }

    #[test]
    fn a_reason_fits_a_close_frame() {
        for ended in [Ended::Expired, Ended::NoGuard] {
            assert!(ended.close_reason().len() <= 123);
        }
    }
}
