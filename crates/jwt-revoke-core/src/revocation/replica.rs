//! A copy of a store's entries in this process, that knows how old it is.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    clock::millis,
    defaults,
    revocation::{Cutoff, Cutoffs, Digest, SHARDS, Shard, table::Table},
    store::Lookup,
};

/// What this process knows of a store: the entries that it wrote itself, and those that a follower
/// has read in the store's log.
///
/// Entries merge by `max`, in any order and as often as they come, so the copy can be behind and
/// never wrong. How far behind, it knows for each shard: a follower [publishes](Self::publish) the
/// moment before which everything that the shard held has been applied.
///
/// Bounded: beyond its limit it takes nothing more in and says that it is behind; it never drops an
/// entry that a check needs. Those that only healing could use, because no token lives that they
/// cover, go first.
pub(crate) struct Replica {
    shards: [Copy; SHARDS as usize],
    entries: AtomicUsize,
    most: usize,
    start: Instant,
    /// The shortest staleness that was asked for, in milliseconds.
    wanted: AtomicU64,
}

/// The copy of one shard.
struct Copy {
    table: Table<Known>,
    /// The published moment, on both clocks, in milliseconds; [`NEVER`] while there is none.
    monotonic: AtomicU64,
    wall: AtomicU64,
    /// When the store was heard of last, by the monotonic clock, in milliseconds.
    heard: AtomicU64,
    /// Whether an entry did not fit.
    overflowed: AtomicBool,
    /// Whether the log from which it is made does not reach back far enough.
    partial: AtomicBool,
}

/// An entry, in 16 bytes.
#[derive(Clone, Copy)]
struct Known {
    /// Milliseconds, or [`FOREVER`].
    cutoff: u64,
    /// Seconds since the replica was made: until when the store keeps it.
    expires: u32,
    /// The same: until when a token can be alive that it covers.
    needed: u32,
}

/// How long an entry lives from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// In the store.
    pub(crate) kept: Duration,
    /// For checks: until every token that it covers has lapsed. What is kept longer serves to heal the
    /// store.
    pub(crate) needed: Duration,
}

impl Life {
    /// Whether checks need it as long as the store keeps it.
    pub(crate) fn is_lasting(self) -> bool {
        self.needed >= self.kept
    }

    /// What is left of it later.
    pub(crate) fn after(self, passed: Duration) -> Self {
        Self {
            kept: self.kept.saturating_sub(passed),
            needed: self.needed.saturating_sub(passed),
        }
    }

    /// The longer of both, of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            kept: self.kept.max(other.kept),
            needed: self.needed.max(other.needed),
        }
    }

    /// Of an entry that checks need as long as the store keeps it.
    pub(crate) fn whole(kept: Duration) -> Self {
        Self { kept, needed: kept }
    }
}

/// A moment on both of a process's clocks. The monotonic one stands still while the host sleeps, and
/// the other may be set back; what has aged by either has aged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Instant,
    /// Milliseconds since 1970.
    wall: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            monotonic: Instant::now(),
            wall: wall.map_or(0, millis),
        }
    }
}

impl Replica {
    /// An empty one, for at most `most` entries, not fresh in any shard.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Copy {
                table: Table::new(),
                monotonic: AtomicU64::new(NEVER),
                wall: AtomicU64::new(NEVER),
                heard: AtomicU64::new(NEVER),
                overflowed: AtomicBool::new(false),
                partial: AtomicBool::new(false),
            }),
            entries: AtomicUsize::new(0),
            most,
            start: Instant::now(),
            wanted: AtomicU64::new(millis(defaults::MAX_STALENESS)),
        }
    }

    /// Takes note that checks ask for a copy that is no older than this.
    pub(crate) fn want(&self, max_staleness: Duration) {
        let wanted = millis(max_staleness.max(defaults::SHORTEST_STALENESS));
        if wanted < self.wanted.load(Ordering::Relaxed) {
            self.wanted.fetch_min(wanted, Ordering::Relaxed);
        }
    }

    /// The shortest staleness that was asked for.
    pub(crate) fn wanted(&self) -> Duration {
        Duration::from_millis(self.wanted.load(Ordering::Relaxed))
    }

    /// How often to publish, so that the copy is as fresh as is asked for although an answer of the store
    /// takes a while.
    pub(crate) fn interval(&self) -> Duration {
        self.wanted() / 4
    }

    /// Takes in an entry that `shard` holds. Merges with what is known.
    pub(crate) fn keep(&self, shard: Shard, digest: Digest, cutoff: Cutoff, life: Life) {
        let copy = self.copy(shard);
        let now = self.start.elapsed();
        let (expires, needed) = (second(now + life.kept), second(now + life.needed));
        let cutoff = match cutoff {
            Cutoff::At(instant) => instant.as_millis(),
            Cutoff::Forever => FOREVER,
        };
        let full = self.entries.load(Ordering::Relaxed) >= self.most;
        if full && copy.table.get(&digest).is_none() {
            copy.overflowed.store(true, Ordering::Release);
            self.lose(shard);
            return;
        }
        copy.table.update(digest, |known| {
            let Some(known) = known else {
                self.entries.fetch_add(1, Ordering::Relaxed);
                return Known {
                    cutoff,
                    expires,
                    needed,
                };
            };
            Known {
                cutoff: known.cutoff.max(cutoff),
                expires: known.expires.max(expires),
                needed: known.needed.max(needed),
            }
        });
    }

    /// The cutoffs known for what is asked. Allocates nothing.
    pub(crate) fn find(&self, query: &Lookup<'_>) -> Cutoffs {
        // What has expired and was not purged yet covers no token that is alive.
        let table = &self.copy(query.shard).table;
        table.find(query, |known| cutoff_of(known.cutoff))
    }

    /// The same, where nobody says that the copy is complete. What had no room may have been the entry of
    /// a kept session.
    pub(crate) fn find_own(&self, query: &Lookup<'_>) -> Cutoffs {
        let found = self.find(query);
        if self.copy(query.shard).overflowed.load(Ordering::Acquire) {
            found.without_exception()
        } else {
            found
        }
    }

    /// How long an entry still lives in the store, if it is known.
    pub(crate) fn life(&self, shard: Shard, digest: &Digest) -> Option<Duration> {
        let known = self.copy(shard).table.get(digest)?;
        Some(self.left(known.expires))
    }

    /// Everything known of `shard` that the store still keeps, with its remaining life.
    pub(crate) fn of_shard(&self, shard: Shard) -> Vec<(Digest, Cutoff, Life)> {
        let now = self.now();
        let known = self
            .copy(shard)
            .table
            .select(usize::MAX, |known| known.expires > now);
        let known = known.into_iter();
        known
            .map(|(digest, known)| (digest, cutoff_of(known.cutoff), self.life_of(&known)))
            .collect()
    }

    /// What is known of one entry of `shard` that the store still keeps, with its remaining life.
    pub(crate) fn known(&self, shard: Shard, digest: &Digest) -> Option<(Cutoff, Life)> {
        let known = self.copy(shard).table.get(digest)?;
        let kept = known.expires > self.now();
        kept.then(|| (cutoff_of(known.cutoff), self.life_of(&known)))
    }

    /// Everything that `shard` held at `moment` has been taken in.
    pub(crate) fn publish(&self, shard: Shard, moment: Moment) {
        let copy = self.copy(shard);
        if copy.overflowed.load(Ordering::Acquire) {
            return;
        }
        let since_start = moment.monotonic.saturating_duration_since(self.start);
        // A reader that sees one of both takes the older: it never thinks itself fresher.
        copy.wall.store(moment.wall, Ordering::Release);
        copy.monotonic.store(millis(since_start), Ordering::Release);
    }

    /// Takes note of whether entries may be missing from `shard` because its log does not tell them any
    /// more. Then nothing is published, however well it is followed.
    pub(crate) fn set_partial(&self, shard: Shard, partial: bool) {
        self.copy(shard).partial.store(partial, Ordering::Relaxed);
    }

    /// Whether that is so in any shard.
    pub(crate) fn is_partial(&self) -> bool {
        let copies = self.shards.iter();
        copies
            .into_iter()
            .any(|copy| copy.partial.load(Ordering::Relaxed))
    }

    /// The server of `shard` has answered.
    pub(crate) fn hear(&self, shard: Shard) {
        let now = millis(self.start.elapsed());
        self.copy(shard).heard.store(now, Ordering::Relaxed);
    }

    /// How long ago the server of `shard` answered the follower; `None` if it never did.
    pub(crate) fn silence(&self, shard: Shard) -> Option<Duration> {
        let heard = self.copy(shard).heard.load(Ordering::Relaxed);
        let since = || millis(self.start.elapsed()).saturating_sub(heard);
        (heard != NEVER).then(|| Duration::from_millis(since()))
    }

    /// The age of the shard that is furthest behind; `None` if one may lack entries of any age.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        let now = Moment::now();
        let ages = Shard::all().map(|shard| self.age(shard, now));
        ages.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The copy of `shard` may lack entries, whatever was published.
    pub(crate) fn lose(&self, shard: Shard) {
        self.copy(shard).monotonic.store(NEVER, Ordering::Release);
    }

    /// How old the copy of `shard` is, by the clock that has moved more; `None` if it may lack entries
    /// of any age. Never less than it is.
    pub(crate) fn age(&self, shard: Shard, now: Moment) -> Option<Duration> {
        let copy = self.copy(shard);
        let monotonic = copy.monotonic.load(Ordering::Acquire);
        let wall = copy.wall.load(Ordering::Acquire);
        if monotonic == NEVER || wall == NEVER {
            return None;
        }
        // Rounded up, as what was published is rounded down.
        let now_monotonic = now.monotonic.saturating_duration_since(self.start);
        let since_start = millis(now_monotonic.saturating_add(ALMOST_A_MILLISECOND));
        let by_monotonic = since_start.saturating_sub(monotonic);
        Some(Duration::from_millis(
            by_monotonic.max(now.wall.saturating_sub(wall)),
        ))
    }

    /// Forgets what has expired in `shard`; and, where more than half of the room is taken, what no
    /// check needs. Returns how much. Checks go on meanwhile.
    pub(crate) fn purge(&self, shard: Shard) -> usize {
        let now = self.now();
        let crowded = self.len() > self.most / 2;
        let unwanted =
            move |known: &Known| known.expires <= now || (crowded && known.needed <= now);
        let table = &self.copy(shard).table;
        let due = table.select(usize::MAX, unwanted);
        let digests: Vec<_> = due.into_iter().map(|(digest, _)| digest).collect();
        let forgotten = table.remove(&digests, unwanted);
        self.entries.fetch_sub(forgotten, Ordering::Relaxed);
        forgotten
    }

    /// Whether `shard` overflowed and there is room now; it is then as if it had not, and must be read
    /// from its beginning.
    pub(crate) fn retry(&self, shard: Shard) -> bool {
        let room = self.len() < self.most - self.most / 8;
        room && self.copy(shard).overflowed.swap(false, Ordering::AcqRel)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|copy| copy.table.bytes()).sum()
    }

    /// How long ago it was made.
    pub(crate) fn since_made(&self) -> Duration {
        self.start.elapsed()
    }

    fn copy(&self, shard: Shard) -> &Copy {
        &self.shards[usize::from(shard.number())]
    }

    /// The current second. Rounded down, as lives are rounded up.
    fn now(&self) -> u32 {
        u32::try_from(self.start.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    fn life_of(&self, known: &Known) -> Life {
        // One instant for both, or what lasts would seem to be needed less long than it is kept.
        let now = self.start.elapsed();
        let left = |until: u32| Duration::from_secs(until.into()).saturating_sub(now);
        Life {
            kept: left(known.expires),
            needed: left(known.needed),
        }
    }

    fn left(&self, expires: u32) -> Duration {
        Duration::from_secs(expires.into()).saturating_sub(self.start.elapsed())
    }
}

fn second(since_start: Duration) -> u32 {
    let up = since_start.saturating_add(Duration::from_nanos(999_999_999));
    u32::try_from(up.as_secs()).unwrap_or(u32::MAX)
}

fn cutoff_of(millis: u64) -> Cutoff {
    match millis {
        FOREVER => Cutoff::Forever,
        millis => Cutoff::At(crate::clock::Timestamp::from_millis(millis)),
    }
}

const ALMOST_A_MILLISECOND: Duration = Duration::from_nanos(999_999);

/// No instant: a cutoff at it could not be told from "for ever", which errs on the safe side.
const FOREVER: u64 = u64::MAX;

const NEVER: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, revocation::Dimension};

    const MINUTE: Duration = Duration::from_secs(60);

    fn digest(value: u32) -> Digest {
        Digest::of(&Dimension::Jti, "iss", &value.to_be_bytes())
    }

    fn shard(number: u8) -> Shard {
        Shard::new(number).unwrap()
    }

    fn at(millis: u64) -> Cutoff {
        Cutoff::At(Timestamp::from_millis(millis))
    }

    /// The replica as it will be once `later` has passed.
    fn aged(mut replica: Replica, later: Duration) -> Replica {
        replica.start = replica.start.checked_sub(later).unwrap();
        replica
    }

    fn purge_all(replica: &Replica) -> usize {
        Shard::all().map(|shard| replica.purge(shard)).sum()
    }

    fn highest(replica: &Replica, at: u8, value: u32) -> Option<Cutoff> {
        replica
            .find(&Lookup::new(shard(at), &[digest(value)]))
            .highest()
    }

    #[test]
    fn r4_a_later_lower_cutoff_does_not_replace_a_higher_one() {
        let replica = Replica::new(8);
        replica.keep(shard(1), digest(1), at(9), Life::whole(MINUTE));
        replica.keep(shard(1), digest(1), at(5), Life::whole(MINUTE / 2));
        assert_eq!(highest(&replica, 1, 1), Some(at(9)));
        assert_eq!(highest(&replica, 2, 1), None);
        let replica = aged(replica, MINUTE * 3 / 4);
        assert_eq!(purge_all(&replica), 0);
        assert_eq!(highest(&replica, 1, 1), Some(at(9)));
        let replica = aged(replica, MINUTE);
        assert_eq!(purge_all(&replica), 1);
        assert_eq!(highest(&replica, 1, 1), None);
    }

    #[test]
    fn r10_a_full_replica_forgets_nothing_and_says_that_it_is_behind() {
        let replica = Replica::new(2);
        let moment = Moment::now();
        replica.publish(shard(0), moment);
        for value in 1..=2 {
            replica.keep(shard(0), digest(value), at(1), Life::whole(MINUTE));
        }
        assert!(replica.age(shard(0), Moment::now()).is_some());
        replica.keep(shard(0), digest(3), at(1), Life::whole(MINUTE));
        assert_eq!(replica.age(shard(0), Moment::now()), None);
        replica.publish(shard(0), Moment::now());
        assert_eq!(replica.age(shard(0), Moment::now()), None);
        assert!(highest(&replica, 0, 1).is_some() && highest(&replica, 0, 2).is_some());
        // Room again: it is read from its beginning, and then as fresh as any.
        assert!(!replica.retry(shard(0)));
        let replica = aged(replica, MINUTE * 2);
        purge_all(&replica);
        assert!(replica.retry(shard(0)) && !replica.retry(shard(0)));
        replica.publish(shard(0), Moment::now());
        assert!(replica.age(shard(0), Moment::now()).is_some());
    }

    #[test]
    fn r43_what_lasts_is_still_known_to_last_when_it_is_put_back() {
        let replica = Replica::new(8);
        for value in 0..100 {
            let life = Life::whole(MINUTE);
            replica.keep(shard(0), digest(value), Cutoff::Forever, life);
        }
        let known = replica.of_shard(shard(0));
        assert!(known.iter().all(|(.., life)| life.is_lasting()));
    }

    #[test]
    fn a_full_replica_still_raises_what_it_knows() {
        let replica = Replica::new(1);
        replica.keep(shard(0), digest(1), at(1), Life::whole(MINUTE));
        replica.keep(shard(0), digest(1), Cutoff::Forever, Life::whole(MINUTE));
        assert_eq!(highest(&replica, 0, 1), Some(Cutoff::Forever));
    }

    #[test]
    fn what_no_check_needs_goes_when_it_is_crowded_and_only_then() {
        let life = Life {
            kept: 10 * MINUTE,
            needed: MINUTE,
        };
        for (most, left) in [(8, 1), (1, 0)] {
            let replica = Replica::new(most);
            replica.keep(shard(0), digest(1), at(1), life);
            let replica = aged(replica, MINUTE + Duration::from_secs(2));
            purge_all(&replica);
            assert_eq!(replica.len(), left, "room for {most}");
            assert_eq!(replica.of_shard(shard(0)).len(), left);
        }
    }

    #[test]
    fn r1_its_age_is_never_less_than_it_is() {
        let replica = Replica::new(8);
        let at = |micros| Moment {
            monotonic: replica.start + Duration::from_micros(micros),
            wall: 0,
        };
        for published in [5_000, 5_001, 5_500, 5_999] {
            replica.publish(shard(0), at(published));
            for now in [6_000, 505_000, 505_001, 505_499, 505_999] {
                let age = replica.age(shard(0), at(now)).unwrap();
                let true_age = Duration::from_micros(now - published);
                let more = age.checked_sub(true_age).expect("it is thought younger");
                assert!(more < Duration::from_millis(2));
            }
        }
    }

    #[test]
    fn r12_it_ages_by_the_clock_that_moved_more() {
        let replica = Replica::new(8);
        assert_eq!(replica.age(shard(0), Moment::now()), None);
        let moment = Moment::now();
        replica.publish(shard(0), moment);
        let set_back = Moment {
            monotonic: moment.monotonic + MINUTE,
            wall: moment.wall - 5_000,
        };
        let age = replica.age(shard(0), set_back).unwrap();
        assert!(age >= MINUTE && age <= MINUTE + Duration::from_millis(1));
        let slept = Moment {
            monotonic: moment.monotonic,
            wall: moment.wall + 5_000,
        };
        assert_eq!(replica.age(shard(0), slept), Some(Duration::from_secs(5)));
        replica.lose(shard(0));
        assert_eq!(replica.age(shard(0), moment), None);
    }
}
