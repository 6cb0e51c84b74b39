//! Cutoffs, and the rule that compares them.

use crate::{clock::Timestamp, store::Lookup};

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

/// The cutoffs that a store found for one [`Lookup`], reduced to what decides.
///
/// A token has one birth, so among several cutoffs the highest decides. The exception: a cutoff of
/// [`OtherSessions`](crate::revocation::Dimension::OtherSessions) counts for nothing below the
/// [`KeptSession`](crate::revocation::Dimension::KeptSession) entry of the token's session. Only
/// [`Lookup::cutoffs`] makes one, which knows the digests concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs {
    highest: Option<(Cutoff, usize)>,
    /// Of the user's other sessions.
    others: Option<(Cutoff, usize)>,
    /// Below it `others` does not count.
    kept: Option<Cutoff>,
}

impl Cutoffs {
    /// No entry covers any dimension of the token.
    pub const NONE: Self = Self {
        highest: None,
        others: None,
        kept: None,
    };

    /// The digest at `index` is revoked for ever, which no exception concerns.
    #[cfg(feature = "redis")]
    pub(crate) const fn forever(index: usize) -> Self {
        Self {
            highest: Some((Cutoff::Forever, index)),
            ..Self::NONE
        }
    }

    /// Adds the cutoff found for the digest at `index` of `query`.
    pub(crate) fn insert(&mut self, query: &Lookup<'_>, index: usize, cutoff: Cutoff) {
        match query.exception {
            Some(exception) if exception.kept == index => self.kept = self.kept.max(Some(cutoff)),
            Some(exception) if exception.others == index => raise(&mut self.others, cutoff, index),
            _ => raise(&mut self.highest, cutoff, index),
        }
    }

    /// Adds what was found elsewhere for the same question.
    #[cfg(feature = "redis")]
    pub(crate) fn merge(&mut self, found: Self) {
        self.kept = self.kept.max(found.kept);
        if let Some((cutoff, index)) = found.others {
            raise(&mut self.others, cutoff, index);
        }
        if let Some((cutoff, index)) = found.highest {
            raise(&mut self.highest, cutoff, index);
        }
    }

    /// What holds although entries may be missing: without the session's own entry, nothing follows
    /// from a cutoff that may not concern the session.
    #[cfg(feature = "redis")]
    pub(crate) fn without_exception(self) -> Self {
        Self {
            highest: self.highest,
            ..Self::NONE
        }
    }

    /// Whether the entry of the kept session matters to the answer.
    #[cfg(any(feature = "embedded", feature = "redis"))]
    pub(crate) fn asks_for_kept(&self) -> bool {
        self.others.is_some()
    }

    /// The highest cutoff in force for the token.
    pub fn highest(&self) -> Option<Cutoff> {
        self.decisive().map(|(_, cutoff)| cutoff)
    }

    /// The index of the digest whose cutoff is the highest in force, and that cutoff.
    pub(crate) fn decisive(&self) -> Option<(usize, Cutoff)> {
        let others = self.others.filter(|(cutoff, _)| Some(*cutoff) >= self.kept);
        let decisive = match (self.highest, others) {
            (Some(highest), Some(others)) if others.0 > highest.0 => Some(others),
            (None, others) => others,
            (highest, _) => highest,
        };
        decisive.map(|(cutoff, index)| (index, cutoff))
    }

    /// The index of the digest whose cutoff covers a token born at `born_at`; `None` if the token
    /// is not revoked.
    pub fn covering(&self, born_at: Timestamp) -> Option<usize> {
        self.decisive()
            .filter(|(_, cutoff)| cutoff.covers(born_at))
            .map(|(index, _)| index)
    }
}

fn raise(held: &mut Option<(Cutoff, usize)>, cutoff: Cutoff, index: usize) {
    if held.is_none_or(|(highest, _)| cutoff > highest) {
        *held = Some((cutoff, index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        revocation::{Digest, Dimension, Shard},
        store::Exception,
    };

    fn digest(value: u8) -> Digest {
        Digest::of(&Dimension::Jti, "iss", &[value])
    }

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
        let digests = [digest(0), digest(1), digest(2)];
        let query = Lookup::new(Shard::FIRST, &digests);
        let found = [(0, at(3)), (1, at(9)), (2, at(5))];
        let forwards = query.cutoffs(found);
        let backwards = query.cutoffs(found.into_iter().rev());
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.highest(), Some(at(9)));
        assert_eq!(forwards.covering(Timestamp::from_millis(9)), Some(1));
        assert_eq!(forwards.covering(Timestamp::from_millis(10)), None);
    }

    #[test]
    fn s31_the_end_of_the_others_spares_the_kept_session_and_no_other() {
        let digests = [digest(0), digest(1), digest(2)];
        let exception = Exception {
            session: 0,
            others: 1,
            kept: 2,
        };
        let query = Lookup::new(Shard::FIRST, &digests).with_exception(exception);
        let born_at = Timestamp::from_millis(4);
        let covering = |found: &[(usize, Cutoff)]| {
            let found = found.iter().copied();
            let backwards = query.cutoffs(found.clone().rev());
            assert_eq!(query.cutoffs(found), backwards);
            backwards.covering(born_at)
        };
        assert_eq!(covering(&[(1, at(9))]), Some(1));
        assert_eq!(covering(&[(2, at(10)), (1, at(9))]), None);
        // A later end of the others, by another session.
        assert_eq!(covering(&[(2, at(10)), (1, at(10))]), Some(1));
        assert_eq!(covering(&[(2, at(9)), (1, at(9))]), Some(1));
        // It spares from nothing else, and covers nothing itself.
        assert_eq!(covering(&[(2, at(10)), (1, at(9)), (0, at(4))]), Some(0));
        assert_eq!(covering(&[(2, Cutoff::Forever)]), None);
        // Born afterwards.
        assert_eq!(covering(&[(1, at(3))]), None);
    }
}
