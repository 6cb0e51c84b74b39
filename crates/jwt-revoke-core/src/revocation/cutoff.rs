//! Cutoffs, and the rule that compares them.

use crate::clock::Timestamp;

/// All tokens born up to here are revoked. Ordered: merging two cutoffs is `max`.
///
/// ```
/// use jwt_revoke_core::{Timestamp, revocation::Cutoff};
///
/// let cutoff = Cutoff::At(Timestamp::from_millis(1000));
/// assert!(cutoff.covers(Timestamp::from_millis(1000)));
/// assert!(!cutoff.covers(Timestamp::from_millis(1001)));
/// assert!(cutoff < Cutoff::Forever);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cutoff {
    /// Tokens born at this instant or before.
    At(Timestamp),
    /// Every token, whenever it was or will be born.
    Forever,
}

impl Cutoff {
    /// The rule: whether a token born at `born_at` is revoked by this cutoff.
    pub fn covers(self, born_at: Timestamp) -> bool {
        match self {
            Self::At(instant) => born_at <= instant,
            Self::Forever => true,
        }
    }
}

/// What a store knows about one token: the cutoffs of those of its dimensions that have an entry.
///
/// A token has one birth, so among several cutoffs the highest decides; the others are dropped as
/// they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    highest: Option<(Cutoff, usize)>,
}

impl Cutoffs {
    /// No entry covers any dimension of the token.
    pub const NONE: Self = Self { highest: None };

    /// Adds the cutoff found for the digest at `index` of the [`Lookup`](crate::store::Lookup).
    pub fn insert(&mut self, index: usize, cutoff: Cutoff) {
        if self.highest.is_none_or(|(highest, _)| cutoff > highest) {
            self.highest = Some((cutoff, index));
        }
    }

    /// The highest cutoff.
    pub fn highest(&self) -> Option<Cutoff> {
        self.highest.map(|(cutoff, _)| cutoff)
    }

    /// The highest cutoff, and the index of its digest.
    #[cfg(feature = "redis")]
    pub(crate) fn decisive(&self) -> Option<(usize, Cutoff)> {
        self.highest.map(|(cutoff, index)| (index, cutoff))
    }

    /// The index of the digest whose cutoff covers a token born at `born_at`; `None` if the token
    /// is not revoked.
    pub fn covering(&self, born_at: Timestamp) -> Option<usize> {
        self.highest
            .filter(|(cutoff, _)| cutoff.covers(born_at))
            .map(|(_, index)| index)
    }
}

impl FromIterator<(usize, Cutoff)> for Cutoffs {
    fn from_iter<I: IntoIterator<Item = (usize, Cutoff)>>(found: I) -> Self {
        let mut cutoffs = Self::NONE;
        for (index, cutoff) in found {
            cutoffs.insert(index, cutoff);
        }
        cutoffs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Cutoff {
        Cutoff::At(Timestamp::from_millis(millis))
    }

    #[test]
    fn a_token_born_in_the_millisecond_of_the_cutoff_is_revoked() {
        assert!(at(5).covers(Timestamp::from_millis(5)));
        assert!(!at(5).covers(Timestamp::from_millis(6)));
    }

    #[test]
    fn nothing_outlives_forever() {
        assert!(Cutoff::Forever.covers(Timestamp::from_millis(u64::MAX)));
        assert!(Cutoff::Forever > at(u64::MAX));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let found = [(0, at(3)), (1, at(9)), (2, at(5))];
        let forwards: Cutoffs = found.into_iter().collect();
        let backwards: Cutoffs = found.into_iter().rev().collect();
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.highest(), Some(at(9)));
        assert_eq!(forwards.covering(Timestamp::from_millis(9)), Some(1));
        assert_eq!(forwards.covering(Timestamp::from_millis(10)), None);
    }
}
