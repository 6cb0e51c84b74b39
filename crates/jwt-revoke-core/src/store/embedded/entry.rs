//! One entry, and how a revocation changes it.

use crate::{
    clock::Timestamp,
    revocation::{Cutoff, Horizon, Horizons},
};

/// A cutoff and when it may be forgotten, in 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Milliseconds, or [`FOREVER`].
    cutoff: u64,
    expiry: u64,
}

impl Entry {
    pub(super) fn new(cutoff: Cutoff, expiry: Timestamp) -> Self {
        let cutoff = match cutoff {
            Cutoff::At(instant) => instant.as_millis(),
            Cutoff::Forever => FOREVER,
        };
        Self {
            cutoff,
            expiry: expiry.as_millis(),
        }
    }

    /// An entry as the file keeps it.
    pub(super) const fn from_parts((cutoff, expiry): (u64, u64)) -> Self {
        Self { cutoff, expiry }
    }

    pub(super) const fn parts(self) -> (u64, u64) {
        (self.cutoff, self.expiry)
    }

    /// The later cutoff and the later expiry of both.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            cutoff: self.cutoff.max(other.cutoff),
            expiry: self.expiry.max(other.expiry),
        }
    }

    pub(super) fn cutoff(self) -> Cutoff {
        match self.cutoff {
            FOREVER => Cutoff::Forever,
            millis => Cutoff::At(Timestamp::from_millis(millis)),
        }
    }

    pub(super) fn expiry(self) -> Timestamp {
        Timestamp::from_millis(self.expiry)
    }
}

/// The horizons of the store, and since when they are what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptHorizons {
    pub(super) horizons: Horizons,
    pub(super) since: Timestamp,
}

impl KeptHorizons {
    /// The entry that replaces `old` when a revocation up to `cutoff` is written at `now`, whose life
    /// counts from `counts_from` where that lies ahead; `None` if `old` stays.
    pub(super) fn merge(
        &self,
        old: Option<Entry>,
        cutoff: Cutoff,
        horizon: Horizon,
        now: Timestamp,
        counts_from: Timestamp,
    ) -> Option<Entry> {
        let from = now.max(counts_from);
        let expiry = self.horizons.expiry(horizon, from, cutoff);
        let Some(old) = old else {
            return Some(Entry::new(cutoff, expiry));
        };
        let length = self.horizons.length(horizon);
        let raises = cutoff > old.cutoff();
        // Written when the horizons were shorter, or without a token at hand that was dated ahead: tokens
        // may outlive the entry, and the repeated revocation means them too.
        let must_reach = self
            .since
            .max(if from > now { from } else { Timestamp::EPOCH });
        let too_short = old.expiry() < must_reach.saturating_add(length);
        // Not at every repetition: a flood of logouts must not become a flood of writes.
        let ageing = old.cutoff() == Cutoff::Forever
            && cutoff == Cutoff::Forever
            && old.expiry().saturating_since(now) < length / 2;
        (raises || too_short || ageing)
            .then(|| Entry::new(old.cutoff().max(cutoff), old.expiry().max(expiry)))
    }

    /// The horizons raised to at least `required`; `None` if they are that long already.
    pub(super) fn raised(&self, required: Horizons, now: Timestamp) -> Option<Self> {
        let horizons = self.horizons.max(required);
        (horizons != self.horizons).then_some(Self {
            horizons,
            since: now,
        })
    }
}

/// No instant: a cutoff at it could not be told from "for ever", which errs on the safe side.
const FOREVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept() -> KeptHorizons {
        KeptHorizons {
            horizons: Horizons::from_parts(HOUR, 10 * HOUR),
            since: Timestamp::EPOCH,
        }
    }

    fn hours(n: u32) -> Timestamp {
        Timestamp::EPOCH.saturating_add(n * HOUR)
    }

    #[test]
    fn a_lower_cutoff_changes_nothing() {
        let old = kept().merge(
            None,
            Cutoff::At(hours(5)),
            Horizon::Session,
            hours(5),
            Timestamp::EPOCH,
        );
        let now = hours(6);
        let lower = Cutoff::At(hours(4));
        assert_eq!(
            kept().merge(old, lower, Horizon::Session, now, Timestamp::EPOCH),
            None
        );
    }

    #[test]
    fn a_raised_cutoff_never_shortens_the_life_of_its_entry() {
        let old = Entry::new(Cutoff::At(hours(5)), hours(100));
        let raised = kept()
            .merge(
                Some(old),
                Cutoff::At(hours(6)),
                Horizon::Access,
                hours(6),
                Timestamp::EPOCH,
            )
            .unwrap();
        assert_eq!(raised.cutoff(), Cutoff::At(hours(6)));
        assert_eq!(raised.expiry(), hours(100));
    }

    #[test]
    fn forever_is_renewed_in_the_second_half_of_its_life_only() {
        let old = kept().merge(
            None,
            Cutoff::Forever,
            Horizon::Session,
            hours(0),
            Timestamp::EPOCH,
        );
        let merge = |now| {
            kept().merge(
                old,
                Cutoff::Forever,
                Horizon::Session,
                now,
                Timestamp::EPOCH,
            )
        };
        assert_eq!(merge(hours(5)), None);
        assert_eq!(merge(hours(6)).unwrap().expiry(), hours(16));
    }

    #[test]
    fn r6_an_entry_older_than_longer_horizons_is_renewed_when_repeated() {
        let old = kept().merge(
            None,
            Cutoff::Forever,
            Horizon::Session,
            hours(0),
            Timestamp::EPOCH,
        );
        let longer = Horizons::from_parts(HOUR, 12 * HOUR);
        let raised = kept().raised(longer, hours(1)).unwrap();
        let again = raised.merge(
            old,
            Cutoff::Forever,
            Horizon::Session,
            hours(2),
            Timestamp::EPOCH,
        );
        assert_eq!(again.unwrap().expiry(), hours(14));
        assert_eq!(
            raised.merge(
                again,
                Cutoff::Forever,
                Horizon::Session,
                hours(2),
                Timestamp::EPOCH
            ),
            None
        );
    }

    #[test]
    fn a_lower_cutoff_that_renews_an_entry_does_not_lower_it() {
        let old = kept().merge(
            None,
            Cutoff::At(hours(1)),
            Horizon::Session,
            hours(1),
            Timestamp::EPOCH,
        );
        let longer = Horizons::from_parts(HOUR, 12 * HOUR);
        let raised = kept().raised(longer, hours(2)).unwrap();
        let again = raised.merge(
            old,
            Cutoff::At(hours(0)),
            Horizon::Session,
            hours(3),
            Timestamp::EPOCH,
        );
        assert_eq!(again, Some(Entry::new(Cutoff::At(hours(1)), hours(15))));
    }

    #[test]
    fn r41_an_entry_about_a_token_dated_ahead_counts_from_there() {
        let merge = |old, counts_from| {
            kept().merge(
                old,
                Cutoff::Forever,
                Horizon::Session,
                hours(1),
                counts_from,
            )
        };
        let ahead = merge(None, hours(4));
        assert_eq!(ahead.unwrap().expiry(), hours(14));
        assert_eq!(merge(ahead, hours(4)), None);
        // The session was ended by its id before, and now by the token itself.
        let short = merge(None, Timestamp::EPOCH);
        assert_eq!(short.unwrap().expiry(), hours(11));
        assert_eq!(merge(short, hours(4)), ahead);
        assert_eq!(merge(ahead, Timestamp::EPOCH), None);
    }

    #[test]
    fn horizons_are_only_raised() {
        let lower = Horizons::from_parts(HOUR / 2, 5 * HOUR);
        assert_eq!(kept().raised(lower, hours(1)), None);
        let mixed = Horizons::from_parts(2 * HOUR, 5 * HOUR);
        // What was kept for sessions stays on top of what is kept for access tokens.
        assert_eq!(
            kept().raised(mixed, hours(1)).unwrap().horizons,
            Horizons::from_parts(2 * HOUR, 11 * HOUR)
        );
    }
}
