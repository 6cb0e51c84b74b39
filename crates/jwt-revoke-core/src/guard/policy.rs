//! Policies that belong to a handle of the guard.

use std::time::Duration;

use crate::defaults;

/// How old the knowledge may be by which a token is judged.
///
/// A store with a copy of its entries in this process (Redis) answers from it; one whose truth is in
/// this process (the embedded one) is never behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// From the copy in this process, without I/O, while it is no older than this; else as
    /// [`Strict`](Self::Strict). What this process revoked itself is refused at once.
    Mirror {
        /// At least [`SHORTEST_STALENESS`](defaults::SHORTEST_STALENESS) counts.
        max_staleness: Duration,
    },
    /// Ask the store at every check.
    Strict,
}

impl Consistency {
    /// From the copy in this process while it is no older than `max_staleness`.
    pub fn mirror(max_staleness: Duration) -> Self {
        Self::Mirror {
            max_staleness: max_staleness.max(defaults::SHORTEST_STALENESS),
        }
    }

    /// Whether what holds by `self` holds by `other`.
    pub(crate) fn implies(self, other: Self) -> bool {
        let staleness = |consistency| match consistency {
            Self::Mirror { max_staleness } => max_staleness,
            Self::Strict => Duration::ZERO,
        };
        staleness(self) <= staleness(other)
    }
}

impl Default for Consistency {
    /// A mirror that may be [`MAX_STALENESS`](defaults::MAX_STALENESS) old.
    fn default() -> Self {
        Self::mirror(defaults::MAX_STALENESS)
    }
}

/// What happens to a request while the store does not answer, so that nobody can say whether its
/// token was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outage {
    /// Refuse with 503 and `Retry-After`. Never 401: a client must not throw away a good token.
    #[default]
    Deny,
    /// Let it through, and log each such request. **Weakens security**: whoever can keep the store
    /// from answering can use a revoked token until `exp`. What is known to be revoked is refused
    /// all the same.
    Allow,
}
