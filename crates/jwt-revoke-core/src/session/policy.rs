//! What a session is allowed.

use std::time::Duration;

use crate::defaults;

/// What rotation does with a token, and how long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// How long after it was spent a refresh token still gets its successor, once more. Measured
    /// from the spend; zero is strict.
    pub grace: Duration,
    /// What ends when a spent token comes back.
    pub reuse: ReuseScope,
    /// How long a session lives unused.
    pub idle_lifetime: Duration,
    /// How long a session lives in any case.
    pub absolute_lifetime: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: defaults::GRACE,
            reuse: ReuseScope::User,
            idle_lifetime: defaults::REFRESH_LIFETIME,
            absolute_lifetime: defaults::SESSION_LIFETIME,
        }
    }
}

/// What ends when a spent refresh token comes back (RFC 9700 §4.14.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReuseScope {
    /// All sessions and all access tokens of the user.
    #[default]
    #[doc(alias = "nuclear")]
    User,
    /// The session and its access tokens.
    Session,
    /// Nothing: the token is refused. **Weakens security**: it gives up what RFC 9700 §4.14.2 asks
    /// for, since a thief who refreshed first stays inside.
    Refuse,
}

/// How many sessions a user may have at a time, and what happens at one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionCap {
    /// At least 1; 0 counts as 1.
    pub limit: u32,
    /// What happens at one more.
    pub when_full: WhenFull,
}

/// What happens to a login of a user who has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The oldest session ends.
    #[default]
    EvictOldest,
    /// The login is refused.
    Refuse,
}
