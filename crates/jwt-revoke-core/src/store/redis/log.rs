//! The log of a shard: what it says, and whether it was read without a gap.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Cutoff, Digest, Horizons, Life},
    store::redis::{
        client::{Link, Value},
        failure::Failure,
        lookup::read_cutoff,
        reply::Reply,
        session::record,
    },
};

/// One entry of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) id: String,
    /// `None` for what nobody of us wrote.
    said: Option<Said>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// The id of the entry before it, which may have been trimmed.
    prev: String,
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
    last: String,
    /// Reading what was there before: until it has been read to its end nothing is missed that the
    /// `prev` of an entry could tell, since the log may have been trimmed anywhere.
    catching_up: bool,
    /// The epoch in which the log was read.
    epoch: Option<Vec<u8>>,
    /// Whether the log did not reach back far enough when it was read from its beginning.
    partial: bool,
}

/// By what the entries of a log are bounded on the way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The server's clock, or a little before.
    pub(super) now: Timestamp,
    pub(super) horizons: Horizons,
}

impl Cursor {
    /// Before the first entry.
    pub(super) fn start() -> Self {
        Self {
            last: START.to_owned(),
            catching_up: true,
            epoch: None,
            partial: false,
        }
    }

    /// Another connection may lead to another server, whose log may differ in what was read: nothing would
    /// tell, while the log is not read to its end.
    pub(super) fn reconnected(&mut self) {
        if self.catching_up {
            *self = Self::start();
        }
    }

    /// Whether it is yet to be read whether there is anything.
    pub(super) fn is_at_start(&self) -> bool {
        self.catching_up && self.last == START
    }

    /// The id behind which to read on.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    /// Takes the next entry; `false`, and nothing changes, if there was another between that was not
    /// read: one is missing here, or there.
    pub(super) fn advance(&mut self, entry: &Logged) -> bool {
        let prev = entry.said.as_ref().map(|said| &said.prev);
        if !self.catching_up && prev.is_some_and(|prev| *prev != self.last) {
            return false;
        }
        self.last.clone_from(&entry.id);
        true
    }

    /// Whether an entry that [`advance`](Self::advance) refused shows that the log has lost entries that were
    /// read. Otherwise it lacks only some that were not: trimmed, because they are old.
    pub(super) fn is_ahead_of(&self, entry: &Logged) -> bool {
        let said = entry.said.as_ref();
        said.is_some_and(|said| number(&said.prev) < number(&self.last))
    }

    /// Whether what is read was there before.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up
    }

    /// Everything has been read that was there. `short`: tokens need more than that. What has been read
    /// since then is not missing, and in time nothing is.
    pub(super) fn drained(&mut self, short: bool) {
        self.partial = short && (self.catching_up || self.partial);
        self.catching_up = false;
    }

    /// Whether there may have been entries, before the first that was read, that tokens need.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whether `epoch` is the one in which was read so far; the first that is told is.
    pub(super) fn is_of(&mut self, epoch: &[u8]) -> bool {
        self.epoch.get_or_insert_with(|| epoch.to_vec()) == epoch
    }

    /// Whether a log whose last entry was `tip` may be the one that was read. One that ends before what
    /// was read has lost entries.
    pub(super) fn fits(&self, tip: &str) -> bool {
        self.catching_up || number(&self.last) <= number(tip)
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
            id: id.text()?.to_owned(),
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
        Timestamp::from_millis(number(&self.id).0)
    }
}

impl Said {
    fn read(fields: &[Reply]) -> Option<Self> {
        let field = |name: &str| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| (pair[0].text() == Some(name)).then_some(&pair[1]))
        };
        Some(Self {
            prev: field("prev")?.text()?.to_owned(),
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
    let mut from = START.to_owned();
    loop {
        let words = ["COUNT", &count, "STREAMS", &keys[0], &from];
        let args = words.map(Value::from).to_vec();
        let reply = link.send_within(slot, "XREAD", args, bound).await?;
        let entries = read(reply, &keys).ok_or_else(odd)?.into_iter().next();
        let entries = entries.map_or(Vec::new(), |(_, entries)| entries);
        let is_last = entries.len() < page;
        for entry in entries {
            from.clone_from(&entry.id);
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

/// An id as two numbers; what is none is before all.
fn number(id: &str) -> (u64, u64) {
    let parts = id.split_once('-');
    let parsed =
        parts.and_then(|(millis, count)| Some((millis.parse().ok()?, count.parse().ok()?)));
    parsed.unwrap_or_default()
}

const START: &str = "0-0";

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

    fn bounds() -> Bounds {
        Bounds {
            now: Timestamp::from_millis(1_000_000),
            horizons: Horizons::from_parts(HOUR, 24 * HOUR),
        }
    }

    #[test]
    fn r11_an_entry_that_was_missed_is_noticed() {
        let mut cursor = Cursor::start();
        assert!(cursor.advance(&entry("5-0", "4-7")));
        assert!(cursor.advance(&entry("6-0", "5-0")));
        cursor.drained(false);
        assert!(cursor.advance(&entry("7-1", "6-0")));
        assert!(!cursor.advance(&entry("9-0", "8-0")));
        assert_eq!(cursor.last(), "7-1");
    }

    #[test]
    fn r11_a_log_that_ends_before_what_was_read_has_lost_entries() {
        let mut cursor = Cursor::start();
        assert!(cursor.fits("0-0") && cursor.is_at_start());
        cursor.advance(&entry("10-2", "9-0"));
        cursor.drained(false);
        assert!(cursor.fits("10-2") && cursor.fits("10-10") && cursor.fits("11-0"));
        assert!(!cursor.fits("10-1") && !cursor.fits("9-9") && !cursor.fits("0-0"));
    }

    #[test]
    fn r11_a_log_that_was_not_read_to_its_end_is_read_anew_on_another_connection() {
        let mut cursor = Cursor::start();
        cursor.advance(&entry("5-0", "4-0"));
        // The other server has an entry 4-1 behind 4-0, and then 6-0.
        cursor.reconnected();
        assert!(cursor.is_at_start());
        cursor.advance(&entry("4-1", "4-0"));
        cursor.advance(&entry("6-0", "4-1"));
        cursor.drained(false);
        cursor.reconnected();
        assert_eq!(cursor.last(), "6-0", "from here on gaps tell");
    }

    #[test]
    fn r6_a_log_that_does_not_reach_back_is_not_whole_until_it_need_not() {
        let mut whole = Cursor::start();
        whole.drained(false);
        whole.drained(true);
        assert!(!whole.is_partial(), "it was read while it was all there");
        let mut partial = Cursor::start();
        partial.drained(true);
        partial.drained(true);
        assert!(partial.is_partial());
        partial.drained(false);
        assert!(!partial.is_partial());
    }

    #[test]
    fn a_log_that_was_found_empty_is_not_at_its_start_any_more() {
        let mut cursor = Cursor::start();
        cursor.drained(false);
        assert!(!cursor.is_at_start());
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
        assert_eq!(foreign.id, "2-0", "it is read over");
        assert_eq!(read(Reply::Nil, &logs), Some(Vec::new()));
        assert_eq!(
            read(Reply::List(vec![stream("c", Vec::new())]), &logs),
            None
        );
    }
}
