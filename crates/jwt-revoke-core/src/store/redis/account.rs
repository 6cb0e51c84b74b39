//! What a shard says of its logs: which entries they must tell, so that nothing that is missing from them is
//! taken for not revoked.

use crate::{
    clock::Timestamp,
    store::redis::{keys::LAYOUT, log::Id},
};

/// The part of a shard's `meta` that a reader needs to judge its logs. `shard.lua` names the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// The last entry that was logged. Its second half is 0 where an older version wrote it.
    pub(super) last: Id,
    /// The instant up to which entries may have been trimmed from the log because no token needs them.
    pub(super) trimmed: Timestamp,
    /// The instant at which the shard was made without knowledge of what it held; the epoch once the log
    /// tells it.
    pub(super) torn: Timestamp,
    /// What the shard held when this was the last entry was logged once more behind it.
    pub(super) mended: Id,
    /// The last entry of the stream of lasting entries.
    pub(super) lasting: Id,
}

/// The entries that a reader knows to be missing from what it has read: the latest of each stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    pub(super) log: Option<Id>,
    pub(super) lasting: Option<Id>,
}

/// The instants from which on entries are needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needed {
    /// Of the log: tokens live no longer than since then.
    pub(super) log: Timestamp,
    /// Of the stream of lasting entries.
    pub(super) lasting: Timestamp,
}

impl Account {
    /// Reads a `meta`.
    ///
    /// # Errors
    ///
    /// The layout that it has, if it is another than ours; nothing of it can be read.
    pub(super) fn read(meta: &[u8]) -> Result<Self, String> {
        let layout = meta.split(|byte| *byte == 0).next().unwrap_or_default();
        if layout != LAYOUT.as_bytes() {
            return Err(String::from_utf8_lossy(layout).chars().take(40).collect());
        }
        let numbers = meta.get(layout.len() + 1..).unwrap_or_default();
        let numbers: Vec<_> = numbers.chunks_exact(8).map(number).collect();
        let number = |index: usize| numbers.get(index).copied().unwrap_or_default();
        let instant = |index| Timestamp::from_millis(number(index));
        Ok(Self {
            last: Id::new(number(1), number(6)),
            trimmed: instant(5),
            torn: instant(7),
            mended: Id::new(number(8), number(9)),
            lasting: Id::new(number(10), number(11)),
        })
    }

    /// Whether the log tells all that tokens need, though a reader has found these gaps in it.
    pub(super) fn explains(&self, gaps: &Gaps, needed: &Needed) -> bool {
        let log = gaps.log.is_none_or(|gap| {
            gap <= self.mended || gap.instant() < self.trimmed || gap.instant() <= needed.log
        });
        let lasting = gaps
            .lasting
            .is_none_or(|gap| gap <= self.mended || gap.instant() <= needed.lasting);
        let made = self.torn == Timestamp::EPOCH || self.torn <= needed.lasting;
        log && lasting && made
    }

    /// Whether what is missing was logged once more.
    pub(super) fn has_mended(&self, gaps: &Gaps) -> bool {
        let is_mended = |gap: Option<Id>| gap.is_none_or(|gap| gap <= self.mended);
        self.torn == Timestamp::EPOCH && is_mended(gaps.log) && is_mended(gaps.lasting)
    }
}

/// A number as `struct.pack` writes it; 0 for one that is none or negative, which means "not known".
fn number(bytes: &[u8]) -> u64 {
    let Ok(bytes) = bytes.try_into() else {
        return 0;
    };
    // Saturates, and takes what is no number for 0.
    f64::from_be_bytes(bytes) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(layout: &str, numbers: &[f64]) -> Vec<u8> {
        let mut meta = layout.as_bytes().to_vec();
        meta.push(0);
        meta.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        meta
    }

    fn at(millis: u64) -> Id {
        Id::new(millis, 0)
    }

    const NEEDED: Needed = Needed {
        log: Timestamp::from_millis(1_000),
        lasting: Timestamp::from_millis(100),
    };

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let old = Account::read(&meta("1", &[9.0, 7.0, 0.0, 1.0, 2.0, 5.0])).unwrap();
        assert_eq!((old.last, old.trimmed), (at(7), Timestamp::from_millis(5)));
        assert_eq!((old.mended, old.lasting), (at(0), at(0)));
        let fields = [9.0, 7.0, 0.0, 1.0, 2.0, 5.0, 3.0, 4.0, 6.0, 1.0, 8.0, 2.0];
        let new = Account::read(&meta("1", &fields)).unwrap();
        assert_eq!(new.last, Id::new(7, 3));
        assert_eq!(new.torn, Timestamp::from_millis(4));
        assert_eq!((new.mended, new.lasting), (Id::new(6, 1), Id::new(8, 2)));
        let unknown = Account::read(&meta("1", &[9.0, 7.0, 0.0, 1.0, 2.0, 5.0, -1.0]));
        assert_eq!(unknown.unwrap().last, at(7));
    }

    #[test]
    fn another_layout_is_told() {
        assert_eq!(Account::read(&meta("2", &[1.0])), Err("2".to_owned()));
        assert_eq!(Account::read(b""), Err(String::new()));
        assert!(Account::read(&[b'x'; 90]).unwrap_err().len() == 40);
    }

    #[test]
    fn r51_a_gap_is_explained_by_trimming_by_mending_or_by_its_age_and_by_nothing_else() {
        let account = Account {
            last: at(9_000),
            trimmed: Timestamp::from_millis(2_000),
            mended: at(3_000),
            ..Account::default()
        };
        let log = |gap| Gaps {
            log: Some(gap),
            lasting: None,
        };
        for gap in [at(900), at(1_000), at(1_999), at(3_000)] {
            assert!(account.explains(&log(gap), &NEEDED), "{gap:?}");
        }
        for gap in [Id::new(3_000, 1), at(8_000)] {
            assert!(!account.explains(&log(gap), &NEEDED), "{gap:?}");
        }
        let lasting = |gap| Gaps {
            log: None,
            lasting: Some(gap),
        };
        for gap in [at(100), at(3_000)] {
            assert!(account.explains(&lasting(gap), &NEEDED), "{gap:?}");
        }
        assert!(!account.explains(&lasting(at(3_001)), &NEEDED));
        assert!(account.explains(&Gaps::default(), &NEEDED));
        let made = Account {
            torn: Timestamp::from_millis(101),
            ..account
        };
        assert!(!made.explains(&Gaps::default(), &NEEDED));
    }
}
