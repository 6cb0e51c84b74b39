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
    /// Ask the store at every check, and believe only a server that may be written just now.
    ///
    /// A [`Strict`](Self::Strict) check believes a primary that was cut off from the others until the client
    /// notices, and what was revoked at its successor meanwhile is accepted. This one gets an error from
    /// a server that is a replica, or has lost its replicas (`min-replicas-to-write`), so the outage policy
    /// decides. How long the old primary takes to notice is `min-replicas-max-lag`. Needs Redis 7 or Valkey;
    /// [`Guard::ready`](crate::Guard::ready) of such a handle says whether the store can. A store whose truth is in one
    /// place answers as to a strict question.
    Fenced,
}

impl Consistency {
    /// From the copy in this process while it is no older than `max_staleness`.
    pub fn mirror(max_staleness: Duration) -> Self {
        Self::Mirror {
            max_staleness: max_staleness.max(defaults::SHORTEST_STALENESS),
        }
    }

    /// Whether a copy of the store may answer.
    pub(crate) fn is_mirror(self) -> bool {
        matches!(self, Self::Mirror { .. })
    }

    /// Whether what holds by `self` holds by `other`.
    pub(crate) fn implies(self, other: Self) -> bool {
        match (self, other) {
            (Self::Fenced, _) | (Self::Strict, Self::Strict | Self::Mirror { .. }) => true,
            (Self::Mirror { max_staleness: own }, Self::Mirror { max_staleness }) => {
                own <= max_staleness
            }
            (Self::Strict | Self::Mirror { .. }, Self::Fenced) => false,
            (Self::Mirror { max_staleness }, Self::Strict) => max_staleness.is_zero(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_more_strictly_holds_for_the_more_lenient_and_not_the_other_way_round() {
        let second = Consistency::default();
        let order = [
            Consistency::Fenced,
            Consistency::Strict,
            Consistency::mirror(defaults::SHORTEST_STALENESS),
            second,
        ];
        for (rank, own) in order.iter().enumerate() {
            for (other_rank, other) in order.iter().enumerate() {
                assert_eq!(own.implies(*other), rank <= other_rank, "{own:?} {other:?}");
            }
        }
    }
}
