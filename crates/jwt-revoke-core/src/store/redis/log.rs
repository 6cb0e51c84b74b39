//! The log of a shard: what it says, and whether it was read without a gap.

use std::{fmt, time::Duration};

use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Cutoff, Digest, Horizons, Life},
    store::redis::{
        account::{Account, Gaps, Needed},
        client::{Link, Value},
        failure::Failure,
        lookup::read_cutoff,
        reply::Reply,
        session::record,
    },
};

/// The id of an entry of a stream: an instant in milliseconds, and a number within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64, u64);

/// One entry of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logged {
    id: Id,
    /// `None` for what nobody of us wrote.
    said: Option<Said>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// The id of the entry before it, which may have been trimmed.
    prev: Id,
    /// In the stream of lasting entries, the id of the one before it there, if it was written down.
    before: Option<Id>,
    digest: Digest,
    cutoff: Cutoff,
    expiry: Timestamp,
    /// Whether tokens that it covers may be issued until it expires.
    lasting: bool,
    /// Whether it concerns every shard.
    wide: bool,
}

/// Where in the log of a shard a reader stands.
#[derive(Debug)]
pub(super) struct Cursor {
    last: Id,
    /// Reading what was there before: gaps are noted, and judged when all has been read.
    catching_up: bool,
    /// The epoch in which the log was read.
    epoch: Option<Vec<u8>>,
    /// Whether the log did not reach back far enough when it was read from its beginning.
    short: bool,
    /// What is missing from what was read.
    gaps: Gaps,
    /// Whether the stream of lasting entries has been read.
    pub(super) has_lasting: bool,
}

/// By what the entries of a log are bounded on the way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The server's clock, or a little before.
    pub(super) now: Timestamp,
    pub(super) horizons: Horizons,
}

impl Id {
    pub(super) const fn new(millis: u64, number: u64) -> Self {
        Self(millis, number)
    }

    /// Reads an id; what is none is before all.
    pub(super) fn read(id: &str) -> Self {
        let parts = id.split_once('-');
        let read = parts
            .and_then(|(millis, number)| Some(Self(millis.parse().ok()?, number.parse().ok()?)));
        read.unwrap_or_default()
    }

    /// When the store made it, by its own clock.
    pub(super) fn instant(self) -> Timestamp {
        Timestamp::from_millis(self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl Cursor {
    /// Before the first entry.
    pub(super) fn start() -> Self {
        Self {
            last: START,
            catching_up: true,
            epoch: None,
            short: false,
            gaps: Gaps::default(),
            has_lasting: false,
        }
    }

    /// Another connection may lead to another server, whose log may differ in what was read: nothing would
    /// tell, while the log is not read to its end.
    pub(super) fn reconnected(&mut self) {
        if self.catching_up {
            *self = Self::start();
        }
    }

    /// The id behind which to read on.
    pub(super) fn last(&self) -> Id {
        self.last
    }

    /// Takes the next entry; `false`, and nothing changes, if there was another between that was not
    /// read: one is missing here, or there. While it catches up it takes note of that, and goes on.
    pub(super) fn advance(&mut self, entry: &Logged) -> bool {
        let prev = entry.said.as_ref().map(|said| said.prev);
        if prev.is_some_and(|prev| prev != self.last) {
            if !self.catching_up {
                return false;
            }
            self.gaps.log = self.gaps.log.max(prev.filter(|prev| *prev > self.last));
        }
        self.last = entry.id;
        true
    }

    /// Whether an entry that [`advance`](Self::advance) refused shows that the log has lost entries that were
    /// read. Otherwise it lacks only some that were not: trimmed, because they are old.
    pub(super) fn is_ahead_of(&self, entry: &Logged) -> bool {
        let said = entry.said.as_ref();
        said.is_some_and(|said| said.prev < self.last)
    }

    /// Whether what is read was there before.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up
    }

    /// Takes note of the stream of lasting entries: which of its entries is missing, the latest, if any is.
    pub(super) fn read_lasting(&mut self, missing: Option<Id>) {
        self.has_lasting = true;
        self.gaps.lasting = missing;
    }

    /// Everything has been read that was there after `account` was read. Returns whether that is all that
    /// tokens need.
    pub(super) fn drained(&mut self, account: &Account, needed: &Needed) -> bool {
        // It was logged, and is not there: the log has lost its end.
        let has_end = self.last >= account.last;
        if !has_end {
            self.gaps.log = self.gaps.log.max(Some(account.last));
        }
        if !account.explains(&self.gaps, needed) {
            self.catching_up = true;
            return false;
        }
        self.gaps = Gaps::default();
        if !has_end && account.last <= account.mended {
            // What comes names that one as the one before it.
            self.last = account.last;
        }
        self.catching_up = self.last < account.last;
        true
    }

    /// Takes note of whether a log that is read from its beginning does not reach back as far as tokens need.
    /// What has been read since then is not missing, and in time nothing is. Comes before
    /// [`drained`](Self::drained).
    pub(super) fn reaches_back(&mut self, short: bool) {
        self.short = short && (self.catching_up || self.short);
    }

    /// Whether there may have been entries, before the first that was read, that tokens need.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// What is missing from what was read.
    pub(super) fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// Whether `epoch` is the one in which was read so far; the first that is told is.
    pub(super) fn is_of(&mut self, epoch: &[u8]) -> bool {
        self.epoch.get_or_insert_with(|| epoch.to_vec()) == epoch
    }

    /// Whether a log whose last entry was `tip` may be the one that was read. One that ends before what
    /// was read has lost entries, unless they were logged once more.
    pub(super) fn fits(&self, tip: Id, mended: Id) -> bool {
        self.catching_up || self.last <= tip.max(mended)
    }
}

impl Logged {
    /// Reads `[id, [name, value, ..]]`.
    fn read(reply: &Reply) -> Option<Self> {
        let Reply::List(entry) = reply else {
            return None;
        };
        let [id, Reply::List(fields)] = entry.as_slice() else {
            return None;
        };
        Some(Self {
            id: Id::read(id.text()?),
            said: Said::read(fields),
        })
    }

    /// What it is about, up to when, and when that expires; `None` if it is none of ours.
    pub(super) fn subject(&self) -> Option<(Digest, Cutoff, Timestamp)> {
        let said = self.said.as_ref()?;
        Some((said.digest, said.cutoff, said.expiry))
    }

    /// Whether it concerns every shard, and so should stand in the log of each.
    pub(super) fn is_wide(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.wide)
    }

    /// What a replica is to know of it; `None` if it is none of ours, or its bounds forbid to believe it.
    pub(super) fn known(&self, bounds: &Bounds) -> Option<(Digest, Cutoff, Life)> {
        self.said.as_ref()?.known(self.written(), bounds)
    }

    /// When the store wrote it, by its own clock.
    pub(super) fn written(&self) -> Timestamp {
        self.id.instant()
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// The entry before it in the stream of lasting entries, if that was written down.
    pub(super) fn before(&self) -> Option<Id> {
        self.said.as_ref()?.before
    }
}

impl Said {
    fn read(fields: &[Reply]) -> Option<Self> {
        let field = |name: &str| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| (pair[0].text() == Some(name)).then_some(&pair[1]))
        };
        Some(Self {
            prev: Id::read(field("prev")?.text()?),
            before: field("before").and_then(Reply::text).map(Id::read),
            digest: record::digest(field("digest")?.text()?)?,
            cutoff: read_cutoff(field("cutoff")?).ok()??,
            expiry: Timestamp::from_millis(field("expiry")?.number()?),
            lasting: field("lasting").is_some(),
            wide: field("wide").is_some(),
        })
    }

    fn known(&self, written: Timestamp, bounds: &Bounds) -> Option<(Digest, Cutoff, Life)> {
        // What was probed may be behind: the server's clock stepped, or instants that others saw were told
        // to it. The entry's own id is not, but for what `shard.lua` tolerates.
        let ahead = defaults::MAX_CUTOFF_AHEAD.saturating_add(defaults::HORIZON_MARGIN);
        let latest = written.saturating_add(TOLERANCE);
        let latest = latest.max(bounds.now).saturating_add(ahead);
        if matches!(self.cutoff, Cutoff::At(instant) if instant > latest) {
            return None;
        }
        // A token or session that a clock dated ahead is over so much later.
        let longest = match self.cutoff {
            Cutoff::Forever if self.lasting => defaults::LONGEST_HORIZON,
            _ => bounds.horizons.session.max(bounds.horizons.access),
        };
        let ahead = ahead.saturating_add(BEHIND);
        let kept = self.expiry.saturating_since(bounds.now);
        let kept = kept.min(longest.saturating_add(ahead));
        // Whatever covers no token after its cutoff is done with when the last of those has lapsed.
        let from = match self.cutoff {
            Cutoff::At(instant) => written.max(instant),
            Cutoff::Forever => written,
        };
        let needed = from.saturating_add(bounds.horizons.access);
        let needed = if self.lasting {
            kept
        } else {
            needed.saturating_since(bounds.now).min(kept)
        };
        Some((self.digest, self.cutoff, Life { kept, needed }))
    }
}

/// Reads what `XREAD` answered: the entries of each of `shards` that has some, by its index. `logs` are
/// the keys, in the order of the shards.
pub(super) fn read(reply: Reply, logs: &[String]) -> Option<Vec<(usize, Vec<Logged>)>> {
    let streams = match reply {
        Reply::Nil => return Some(Vec::new()),
        Reply::List(streams) => streams,
        _ => return None,
    };
    let read = streams.into_iter().map(|stream| {
        let Reply::List(stream) = stream else {
            return None;
        };
        let [key, Reply::List(entries)] = stream.as_slice() else {
            return None;
        };
        let key = key.text()?;
        let index = logs.iter().position(|log| log == key)?;
        let entries: Option<Vec<_>> = entries.iter().map(Logged::read).collect();
        Some((index, entries?))
    });
    read.collect()
}

/// Gives all entries of one log to `take`, from its beginning, a page at a time, each within `bound`.
pub(super) async fn read_whole(
    link: &Link,
    slot: u16,
    key: String,
    page: usize,
    bound: Duration,
    mut take: impl FnMut(Logged),
) -> Result<(), Failure> {
    let (keys, count) = ([key], page.to_string());
    let mut from = START.to_string();
    loop {
        let words = ["COUNT", &count, "STREAMS", &keys[0], &from];
        let args = words.map(Value::from).to_vec();
        let reply = link.send_within(slot, "XREAD", args, bound).await?;
        let entries = read(reply, &keys).ok_or_else(odd)?.into_iter().next();
        let entries = entries.map_or(Vec::new(), |(_, entries)| entries);
        let is_last = entries.len() < page;
        for entry in entries {
            from = entry.id.to_string();
            take(entry);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// `XREAD` answered what no log of ours holds.
pub(super) fn odd() -> Failure {
    Failure::odd("XREAD answered something else")
}

const START: Id = Id::new(0, 0);

/// How far ahead of its clock a shard's instants may be, as in `shard.lua`.
const TOLERANCE: Duration = Duration::from_secs(3_600);

/// How far `Bounds::now` may be behind the server's clock.
const BEHIND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Dimension;

    fn text(text: impl AsRef<[u8]>) -> Reply {
        Reply::Text(text.as_ref().to_vec())
    }

    fn reply(id: &str, prev: &str, cutoff: &str, expiry: u64, lasting: bool) -> Reply {
        let digest = Digest::of(&Dimension::Jti, "iss", b"1");
        let expiry = expiry.to_string();
        let mut fields = vec![
            text("digest"),
            text(digest.hex()),
            text("cutoff"),
            text(cutoff),
            text("expiry"),
            text(expiry),
            text("prev"),
            text(prev),
        ];
        if lasting {
            fields.extend([text("lasting"), text("1")]);
        }
        Reply::List(vec![text(id), Reply::List(fields)])
    }

    fn entry(id: &str, prev: &str) -> Logged {
        Logged::read(&reply(id, prev, "*", 9_000_000, false)).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    const NEEDED: Needed = Needed {
        log: Timestamp::EPOCH,
        lasting: Timestamp::EPOCH,
    };

    /// What a shard says whose log ends with this entry.
    fn last(id: &str) -> Account {
        Account {
            last: Id::read(id),
            ..Account::default()
        }
    }

    fn bounds() -> Bounds {
        Bounds {
            now: Timestamp::from_millis(1_000_000),
            horizons: Horizons::from_parts(HOUR, 24 * HOUR),
        }
    }

    #[test]
    fn r11_an_entry_that_was_missed_is_noticed() {
        let mut cursor = Cursor::start();
        assert!(cursor.advance(&entry("5-0", "0-0")));
        assert!(cursor.advance(&entry("6-0", "5-0")));
        assert!(cursor.drained(&last("6-0"), &NEEDED));
        assert!(cursor.advance(&entry("7-1", "6-0")));
        assert!(!cursor.advance(&entry("9-0", "8-0")));
        assert_eq!(cursor.last(), Id::new(7, 1));
    }

    #[test]
    fn r11_a_log_that_ends_before_what_was_read_has_lost_entries() {
        let mut cursor = Cursor::start();
        let fits = |cursor: &Cursor, tip| cursor.fits(Id::read(tip), START);
        assert!(fits(&cursor, "0-0"));
        cursor.advance(&entry("10-2", "0-0"));
        assert!(cursor.drained(&last("10-2"), &NEEDED));
        assert!(fits(&cursor, "10-2") && fits(&cursor, "10-10") && fits(&cursor, "11-0"));
        assert!(!fits(&cursor, "10-1") && !fits(&cursor, "9-9") && !fits(&cursor, "0-0"));
        assert!(
            cursor.fits(START, Id::read("10-2")),
            "it was logged once more"
        );
    }

    #[test]
    fn r11_a_log_that_was_not_read_to_its_end_is_read_anew_on_another_connection() {
        let mut cursor = Cursor::start();
        cursor.advance(&entry("5-0", "0-0"));
        // The other server has an entry 4-1 behind 4-0, and then 6-0.
        cursor.reconnected();
        assert_eq!(cursor.last(), START);
        cursor.advance(&entry("4-1", "0-0"));
        cursor.advance(&entry("6-0", "4-1"));
        cursor.drained(&last("6-0"), &NEEDED);
        cursor.reconnected();
        assert_eq!(cursor.last(), Id::new(6, 0), "from here on gaps tell");
    }

    #[test]
    fn r6_a_log_that_does_not_reach_back_is_not_whole_until_it_need_not() {
        let drained = |cursor: &mut Cursor, short| {
            cursor.reaches_back(short);
            cursor.drained(&Account::default(), &NEEDED);
            cursor.is_short()
        };
        let mut whole = Cursor::start();
        assert!(!drained(&mut whole, false));
        assert!(
            !drained(&mut whole, true),
            "it was read while it was all there"
        );
        let mut partial = Cursor::start();
        assert!(drained(&mut partial, true) && drained(&mut partial, true));
        assert!(!drained(&mut partial, false));
    }

    #[test]
    fn r51_a_log_without_its_beginning_its_middle_or_its_end_is_not_whole() {
        let logs: [&[(&str, &str)]; 4] = [
            &[("2000-0", "1000-1"), ("3000-0", "2000-0")],
            &[("1500-0", "0-0"), ("3000-0", "2000-0")],
            &[("1500-0", "0-0"), ("2000-0", "1500-0")],
            &[],
        ];
        for entries in logs {
            let mut cursor = Cursor::start();
            for (id, prev) in entries {
                assert!(cursor.advance(&entry(id, prev)));
            }
            let needed = Needed {
                log: Timestamp::from_millis(900),
                ..NEEDED
            };
            assert!(!cursor.drained(&last("3000-0"), &needed), "{entries:?}");
            assert!(!cursor.drained(&last("3000-0"), &needed), "{entries:?}");
            // What is read while it is not whole says nothing of what was lost.
            assert!(cursor.advance(&entry("4000-0", "3000-0")));
            assert!(!cursor.drained(&last("4000-0"), &needed), "{entries:?}");
            let mended = Account {
                mended: Id::read("3000-0"),
                ..last("4000-0")
            };
            assert!(cursor.drained(&mended, &needed), "{entries:?}");
            assert!(!cursor.advance(&entry("6000-0", "5000-0")));
        }
    }

    #[test]
    fn r51_a_log_whose_end_was_lost_before_it_was_read_is_not_whole() {
        let mut cursor = Cursor::start();
        cursor.advance(&entry("5000-0", "0-0"));
        assert!(cursor.drained(&last("5000-0"), &NEEDED));
        assert!(!cursor.drained(&last("6000-0"), &NEEDED));
        let mended = Account {
            mended: Id::read("6000-0"),
            ..last("6000-0")
        };
        assert!(cursor.drained(&mended, &NEEDED));
        assert!(cursor.advance(&entry("7000-0", "6000-0")), "no gap");
    }

    #[test]
    fn a_log_that_was_found_empty_goes_on_with_its_first_entry() {
        let mut cursor = Cursor::start();
        assert!(cursor.drained(&Account::default(), &NEEDED));
        assert!(!cursor.is_catching_up());
        assert!(cursor.advance(&entry("5-0", "0-0")));
    }

    #[test]
    fn r12_what_no_script_writes_is_not_taken_in() {
        let read =
            |cutoff: &str| Logged::read(&reply("1000000-0", "0-0", cutoff, 2_000_000, false));
        let known = |cutoff: &str| read(cutoff).unwrap().known(&bounds());
        assert!(
            known("1300000").is_some(),
            "wide ones may lie a margin ahead"
        );
        assert!(known("4900000").is_some(), "so may instants that were told");
        assert!(known("5000000").is_none());
        assert!(known("-1").is_none() && known("").is_none());
        let endless = reply("1000000-0", "0-0", "*", u64::MAX, false);
        let (_, _, life) = Logged::read(&endless).unwrap().known(&bounds()).unwrap();
        assert!(life.kept < 25 * HOUR);
    }

    #[test]
    fn an_entry_is_needed_until_the_last_token_has_lapsed_or_as_long_as_it_lasts() {
        let day = 1_000_000 + 24 * 3_600_000;
        let life = |lasting| {
            let entry = Logged::read(&reply("400000-0", "0-0", "*", day, lasting)).unwrap();
            entry.known(&bounds()).unwrap().2
        };
        assert_eq!(life(false).needed, HOUR - Duration::from_secs(600));
        assert_eq!(life(false).kept, 24 * HOUR);
        assert_eq!(life(true).needed, 24 * HOUR);
    }

    #[test]
    fn an_answer_is_read_shard_by_shard() {
        let logs = ["a".to_owned(), "b".to_owned()];
        let stream = |key: &str, entries| Reply::List(vec![text(key), Reply::List(entries)]);
        let answer = Reply::List(vec![stream(
            "b",
            vec![
                reply("1-0", "0-0", "*", 5, false),
                Reply::List(vec![text("2-0"), Reply::List(Vec::new())]),
            ],
        )]);
        let read_answer = read(answer, &logs).unwrap();
        assert_eq!(read_answer.len(), 1);
        assert_eq!(read_answer[0].0, 1);
        let [first, foreign] = read_answer[0].1.as_slice() else {
            panic!("{read_answer:?}");
        };
        assert!(first.subject().is_some() && foreign.subject().is_none());
        assert_eq!(foreign.id, Id::new(2, 0), "it is read over");
        assert_eq!(read(Reply::Nil, &logs), Some(Vec::new()));
        assert_eq!(
            read(Reply::List(vec![stream("c", Vec::new())]), &logs),
            None
        );
    }
}
