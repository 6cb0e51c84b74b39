//! How long entries must live.

use std::time::Duration;

use crate::{clock::Timestamp, defaults};

/// How long a store keeps entries, measured from the moment they are written. A store's horizons
/// are only ever raised: every process that accepts tokens raises them to what its tokens need,
/// and scripts read them from the store, so a process with short tokens cannot write an entry that
/// expires before another process's long ones.
///
/// ```
/// use jwt_revoke_core::revocation::Horizons;
/// use std::time::Duration;
///
/// let minutes = |n: u64| Duration::from_secs(n * 60);
/// let horizons = Horizons::covering(minutes(15), minutes(60 * 24 * 30), minutes(1));
/// assert_eq!(horizons.access, minutes(15 + 2 + 5)); // lifetime, leeway twice, margin
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Horizons {
    /// Longest access-token lifetime, the largest leeway twice, and a margin: the life of `jti`
    /// entries, of the log and of replicas.
    pub access: Duration,
    /// Longest session lifetime and, for the last token that a session brings forth, `access`: the
    /// life of all other entries.
    pub session: Duration,
}

impl Horizons {
    /// The horizons that tokens of at most these lifetimes need, verified with this leeway.
    /// Rounded up to whole milliseconds.
    ///
    /// Leeway counts twice: a token may be dated that far ahead, and is accepted that long after
    /// its end. The margin stays for clocks.
    pub fn covering(
        access_lifetime: Duration,
        session_lifetime: Duration,
        leeway: Duration,
    ) -> Self {
        let access = access_lifetime
            .saturating_add(leeway.saturating_mul(2))
            .saturating_add(defaults::HORIZON_MARGIN);
        Self {
            access: round_up(access),
            session: round_up(session_lifetime.saturating_add(access)),
        }
    }

    /// Horizons as a store has kept them.
    pub fn from_parts(access: Duration, session: Duration) -> Self {
        Self {
            access,
            session: session.max(access),
        }
    }

    /// The least horizons that keep what either promises: the longer access horizon and, on top of it,
    /// the longer time for sessions. A process that raises one never takes from the other, so that what
    /// was once covered stays covered.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let access = self.access.max(other.access);
        let sessions = self.for_sessions().max(other.for_sessions());
        Self {
            access,
            session: access.saturating_add(sessions),
        }
    }

    /// What both promise at the least.
    #[cfg(feature = "redis")]
    pub(crate) fn min(self, other: Self) -> Self {
        let access = self.access.min(other.access);
        let sessions = self.for_sessions().min(other.for_sessions());
        Self {
            access,
            session: access.saturating_add(sessions),
        }
    }

    /// The longest session, from its login to its last refresh, for which entries are kept.
    pub(crate) fn for_sessions(self) -> Duration {
        self.session.saturating_sub(self.access)
    }

    /// How long after its `iat` an access token is sure to be covered by an entry about it.
    pub(crate) fn for_access_token(self) -> Duration {
        self.access.saturating_sub(defaults::HORIZON_MARGIN)
    }

    /// The length that `horizon` names.
    pub fn length(&self, horizon: Horizon) -> Duration {
        match horizon {
            Horizon::Access => self.access,
            Horizon::Session | Horizon::Lasting => self.session,
        }
    }

    /// When an entry written at `now` may be forgotten. Measured from the cutoff when that lies
    /// ahead of `now`, since tokens may be born until then. A store asks
    /// [`Revocation::expiry`](crate::store::Revocation::expiry), which knows of tokens that were dated
    /// ahead.
    pub fn expiry(
        &self,
        horizon: Horizon,
        now: Timestamp,
        cutoff: crate::revocation::Cutoff,
    ) -> Timestamp {
        let from = match cutoff {
            crate::revocation::Cutoff::At(instant) => now.max(instant),
            crate::revocation::Cutoff::Forever => now,
        };
        from.saturating_add(self.length(horizon))
    }
}

/// Which of the two [`Horizons`] bounds the life of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Horizon {
    /// The entry concerns one token: `jti`.
    Access,
    /// The entry concerns whatever a session may still bring forth. Whoever issues the tokens stops with
    /// the revocation, so copies of the entry may be forgotten once the last access token has lapsed.
    Session,
    /// As long, and tokens that it covers may be issued all the time: those of another issuer's session,
    /// or signed with a key that leaked, or of a session that was kept when the others ended.
    Lasting,
}

fn round_up(length: Duration) -> Duration {
    let whole = Duration::from_millis(crate::clock::millis(length));
    if whole < length {
        whole.saturating_add(Duration::from_millis(1))
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Cutoff;

    #[test]
    fn r6_a_fraction_of_a_millisecond_never_shortens_an_entry() {
        let horizons = Horizons::covering(Duration::from_nanos(1), Duration::ZERO, Duration::ZERO);
        assert_eq!(
            horizons.access,
            defaults::HORIZON_MARGIN + Duration::from_millis(1)
        );
        assert_eq!(horizons.session, horizons.access);
    }

    #[test]
    fn r6_an_entry_whose_cutoff_lies_ahead_lives_from_the_cutoff() {
        let horizons = Horizons::covering(Duration::from_secs(60), Duration::ZERO, Duration::ZERO);
        let now = Timestamp::from_seconds(1000);
        let ahead = now.saturating_add(Duration::from_secs(5));
        let expiry = horizons.expiry(Horizon::Access, now, Cutoff::At(ahead));
        assert_eq!(expiry, ahead.saturating_add(horizons.access));
    }
}
