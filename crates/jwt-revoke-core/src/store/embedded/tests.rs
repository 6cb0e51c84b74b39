//! What only a disk that fails on request can show.

use std::{
    collections::HashSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{join, join_all},
};
use redb::{BackendError, StorageBackend};

use super::{
    database::{Database, Kept, Unreadable},
    origin::{Look, Origin},
    *,
};
use crate::{
    revocation::{Digest, Dimension, Placement},
    session::{AttemptId, Identity, Outcome, Policy, Presented, Proposal, Record},
    store::{Index, Opened, Opening, Reach, Rotating},
    token::SessionId,
};

/// A disk that keeps what was synced, and of what was not synced an accidental part.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<(Mutex<Platter>, Condvar)>);

#[derive(Debug, Default)]
struct Platter {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What is surely still there after a power cut.
    synced: Vec<u8>,
    /// What was done since.
    unsynced: Vec<Change>,
    /// After so many writes and syncs, everything fails.
    budget: Option<u32>,
    panics: bool,
    /// Whether syncs wait.
    held: bool,
    waiting: usize,
}

#[derive(Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_after(&self, writes: u32) {
        self.platter().budget = Some(writes);
    }

    /// Makes syncs wait until the guard is dropped, which must be before the store is.
    fn hold(&self) -> Held<'_> {
        self.platter().held = true;
        Held(self)
    }

    /// The disk after the power comes back: of the writes since the last sync any may be there,
    /// whole or in part, in units of sectors.
    fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let old = self.platter();
        let mut image = old.synced.clone();
        for change in &old.unsynced {
            match change {
                Change::Length(length) if dice.roll(2) == 0 => {
                    image.resize(usize::try_from(*length).unwrap(), 0);
                }
                Change::Length(_) => {}
                Change::Write(offset, data) => {
                    for (n, sector) in data.chunks(512).enumerate() {
                        let start = usize::try_from(*offset).unwrap() + n * 512;
                        let end = start + sector.len();
                        if dice.roll(2) == 0 {
                            image.resize(image.len().max(end), 0);
                            image[start..end].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        let new = Self::default();
        new.platter().seen = image.clone();
        new.platter().synced = image;
        new
    }
}

/// Syncs wait.
struct Held<'a>(&'a Disk);

impl Held<'_> {
    /// Waits until a commit hangs in its sync.
    fn commit(&self) {
        let Disk(disk) = self.0;
        let waiting = |platter: &mut Platter| platter.waiting == 0;
        let limit = Duration::from_secs(60);
        let waited = disk.1.wait_timeout_while(self.0.platter(), limit, waiting);
        assert!(!waited.unwrap().1.timed_out(), "nothing was synced");
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.platter().held = false;
        self.0.0.1.notify_all();
    }
}

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.budget {
            None => Ok(()),
            Some(0) if self.panics => panic!("the disk is on fire"),
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

type Done = Result<(), BackendIoError>;
type BackendIoError = io::Error;

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, BackendIoError> {
        Ok(self.platter().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Done {
        let start = usize::try_from(offset).unwrap();
        let platter = self.platter();
        let found = platter.seen.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Done {
        let mut platter = self.platter();
        platter.spend()?;
        platter.seen.resize(usize::try_from(length).unwrap(), 0);
        platter.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> Done {
        let mut platter = self.platter();
        platter.spend()?;
        platter.waiting += 1;
        self.0.1.notify_all();
        let held = |platter: &mut Platter| platter.held;
        let mut platter = self.0.1.wait_while(platter, held).unwrap();
        platter.waiting -= 1;
        platter.synced = platter.seen.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Done {
        let mut platter = self.platter();
        platter.spend()?;
        let start = usize::try_from(offset).unwrap();
        platter.seen[start..start + data.len()].copy_from_slice(data);
        platter.unsynced.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(
        &self,
        _: std::ops::Bound<u64>,
        _: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}

/// Pseudo-random numbers (xorshift), the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn open(disk: &Disk) -> EmbeddedStore {
    EmbeddedStore::builder()
        .start_on(disk.clone(), "a test's disk", None)
        .unwrap()
}

fn shard() -> Shard {
    Shard::of_issuer("iss")
}

fn jti(value: &str) -> Revocation {
    let placement = Placement::One(shard());
    Revocation::new(Dimension::Jti, "iss", value, placement, Reach::Forever)
}

fn subject(value: &str) -> Revocation {
    let reach = Reach::Now {
        ahead: Duration::ZERO,
    };
    Revocation::new(Dimension::Subject, "iss", value, Placement::Wide, reach)
}

fn find(store: &EmbeddedStore, digest: Digest) -> Result<Option<Cutoff>, StoreError> {
    store
        .lookup_now(&Lookup::new(shard(), &[digest]))
        .unwrap()
        .map(|found| found.highest())
}

#[test]
fn r9_a_power_cut_at_any_write_loses_nothing_acknowledged() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut disk = Disk::default();
    let mut acknowledged = HashSet::new();
    drop(open(&disk));
    for round in 0..150 {
        let store = open(&disk);
        // Somewhere within the next few transactions, each of which is some ten writes.
        disk.fail_after(u32::try_from(dice.roll(80)).unwrap());
        for n in 0..40 {
            let entry = jti(&format!("{round}-{n}"));
            match block_on(store.revoke(std::slice::from_ref(&entry))) {
                Ok(_) => drop(acknowledged.insert(entry.digest)),
                Err(error) => {
                    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
                    break;
                }
            }
        }
        drop(store);
        disk = disk.after_power_cut(&mut dice);
        let store = open(&disk);
        for digest in &acknowledged {
            let found = find(&store, *digest).unwrap();
            assert_eq!(found, Some(Cutoff::Forever), "round {round}");
        }
    }
    assert!(acknowledged.len() > 150, "{}", acknowledged.len());
}

#[test]
fn r9_after_a_failed_write_only_what_is_revoked_is_known() {
    let disk = Disk::default();
    let store = open(&disk);
    let (dead, logged_out, lost) = (jti("dead"), subject("alice"), jti("lost"));
    block_on(store.revoke(&[dead.clone(), logged_out.clone()])).unwrap();

    disk.fail_after(0);
    // Both wait for one transaction, or for two: neither gets through.
    let (first, second) = (jti("first"), [lost.clone()]);
    let both = join(
        store.revoke(std::slice::from_ref(&first)),
        store.revoke(&second),
    );
    let (first, second) = block_on(both);
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("a test's disk"), "{error}");
    }

    assert_eq!(find(&store, dead.digest).unwrap(), Some(Cutoff::Forever));
    // An instant may not cover the token that is asked about, so it is told with the error.
    let error = find(&store, logged_out.digest).unwrap_err();
    assert!(matches!(error, StoreError::Partial { .. }), "{error}");
    assert!(error.known().covering(Timestamp::EPOCH).is_some());
    for unknown in [lost.digest, jti("never revoked").digest] {
        let error = find(&store, unknown).unwrap_err();
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    }
    assert!(block_on(store.ready()).is_err());
    assert!(block_on(store.now(shard())).is_err());
    assert!(block_on(store.audit(1)).is_err());
    assert!(block_on(store.purge()).is_err());
    let horizons = Horizons::from_parts(Duration::MAX, Duration::MAX);
    assert!(block_on(store.require(horizons)).is_err());

    // The disk has room again, and still the store does not trust itself.
    disk.platter().budget = None;
    assert!(block_on(store.revoke(&[jti("later")])).is_err());
    drop(store);

    let store = open(&disk);
    assert!(find(&store, logged_out.digest).unwrap().is_some());
    block_on(store.revoke(&[lost])).unwrap();
    block_on(store.ready()).unwrap();
}

#[test]
fn r9_a_writer_that_panics_takes_the_store_out_of_service() {
    let disk = Disk::default();
    let store = open(&disk);
    disk.platter().panics = true;
    disk.fail_after(0);
    let error = block_on(store.revoke(&[jti("lost")])).unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    assert!(block_on(store.ready()).is_err());
    assert!(find(&store, jti("never revoked").digest).is_err());
    // Closing neither hangs nor panics. The database may, in its own thread.
    disk.platter().panics = false;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(store))).is_ok());
}

/// A disk from which the store is opened again after a failure.
struct Removable(Disk);

impl Origin for Removable {
    fn open(&mut self, _: &str, denylist: &Denylist) -> Result<(Database, Kept), StoreError> {
        let backend = self.0.clone();
        let opened = redb::Builder::new().create_with_backend(backend);
        let failed = |error| file::unreadable("a test's disk", error);
        let database = Database::new(opened.map_err(|error| failed(Unreadable::of(error)))?);
        let kept = database.load(denylist).map_err(failed)?;
        Ok((database, kept))
    }

    fn look(&self) -> Look {
        Look::Same
    }

    fn committed(&mut self, _: u64, _: u64) {}
}

fn open_removable(disk: &Disk) -> EmbeddedStore {
    let origin: Box<dyn Origin> = Box::new(Removable(disk.clone()));
    EmbeddedStore::builder()
        .start_on(disk.clone(), "a test's disk", Some(origin))
        .unwrap()
}

/// Repeats a revocation until it is acknowledged.
fn revoke_at_last(store: &EmbeddedStore, entry: &Revocation) {
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    while let Err(error) = block_on(store.revoke(std::slice::from_ref(entry))) {
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
        assert!(std::time::Instant::now() < limit, "{error}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn r73_after_a_full_disk_the_store_goes_on_by_itself() {
    for panics in [false, true] {
        let disk = Disk::default();
        let store = open_removable(&disk);
        let (before, after) = (subject("alice"), jti("after"));
        block_on(store.revoke(std::slice::from_ref(&before))).unwrap();
        let client = Client::new(&store, &strict());
        client.open(&store).unwrap();
        for round in 0..3 {
            disk.platter().panics = panics;
            disk.fail_after(round * 7);
            let failed =
                (0..40).find_map(|n| block_on(store.revoke(&[jti(&format!("{n}"))])).err());
            assert!(
                matches!(failed, Some(StoreError::Poisoned { .. })),
                "{failed:?}"
            );
            // Out of service as long as the disk is full.
            assert!(block_on(store.ready()).is_err());
            assert!(find(&store, jti("never revoked").digest).is_err());
            disk.platter().panics = false;
            disk.platter().budget = None;
            revoke_at_last(&store, &after);
            block_on(store.ready()).unwrap();
            assert_eq!(find(&store, jti("never revoked").digest).unwrap(), None);
            assert!(find(&store, before.digest).unwrap().is_some());
        }
        let outcome = client.rotate(&store, 1, &strict()).unwrap();
        assert!(matches!(outcome, Outcome::Rotated(_)), "{outcome:?}");
        drop(store);
        let store = open(&disk);
        for entry in [before, after] {
            assert!(find(&store, entry.digest).unwrap().is_some());
        }
    }
}

#[test]
fn r74_what_the_disk_forgot_meanwhile_is_put_back_from_memory() {
    let disk = Disk::default();
    let store = open_removable(&disk);
    let older = disk.platter().synced.clone();
    let revoked = [subject("alice"), jti("dead")];
    block_on(store.revoke(&revoked)).unwrap();
    disk.fail_after(0);
    block_on(store.revoke(&[jti("lost")])).unwrap_err();
    {
        let mut platter = disk.platter();
        platter.seen = older.clone();
        platter.synced = older;
        platter.budget = None;
    }
    revoke_at_last(&store, &jti("after"));
    let cutoff = find(&store, revoked[0].digest).unwrap();
    drop(store);
    let store = open(&disk);
    assert_eq!(find(&store, revoked[0].digest).unwrap(), cutoff);
    assert_eq!(
        find(&store, revoked[1].digest).unwrap(),
        Some(Cutoff::Forever)
    );
}

#[test]
fn what_queues_up_behind_a_commit_is_one_commit() {
    let disk = Disk::default();
    let store = open(&disk);
    let before = store.stats().commits;
    let entries: Vec<_> = (0..100).map(|n| [jti(&n.to_string())]).collect();
    let mut writes = entries.iter().map(|entry| store.revoke(entry).boxed());

    let held = disk.hold();
    let mut first = writes.next().unwrap();
    assert!(first.as_mut().now_or_never().is_none());
    held.commit();
    // Each is polled once, which queues it.
    let mut rest: Vec<_> = writes.collect();
    for write in &mut rest {
        assert!(write.as_mut().now_or_never().is_none());
    }
    drop(held);

    block_on(join(first, join_all(rest))).0.unwrap();
    assert_eq!(store.stats().commits - before, 2);
    assert_eq!(store.stats().waiting, 0);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let disk = Disk::default();
    let store = open(&disk);
    let entry = [jti("x")];
    let held = disk.hold();
    let mut write = store.revoke(&entry).boxed();
    assert!(write.as_mut().now_or_never().is_none());
    held.commit();
    // Lookups go on meanwhile.
    assert_eq!(find(&store, entry[0].digest).unwrap(), None);
    drop(held);
    block_on(write).unwrap();
    assert!(find(&store, entry[0].digest).unwrap().is_some());
}

#[test]
fn r10_a_flood_of_writes_behind_a_slow_disk_is_refused_and_not_stored() {
    let disk = Disk::default();
    let store = open(&disk);
    let held = disk.hold();
    let flood: Vec<_> = (0..1024).map(|n| jti(&n.to_string())).collect();
    let mut writes = Vec::new();
    let refused = (0..1000).find_map(|_| {
        let mut write = store.revoke(&flood).boxed();
        let answer = write.as_mut().now_or_never();
        writes.push(write);
        answer
    });
    let error = refused.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::WriteRefused { .. }), "{error}");
    assert!(store.stats().waiting <= defaults::EMBEDDED_WAITING + 1024);
    drop(held);
    let last = writes.pop();
    drop(last);
    assert!(block_on(join_all(writes)).iter().all(Result::is_ok));
    block_on(store.revoke(&[jti("later")])).unwrap();
}

#[test]
fn a_write_that_nobody_waits_for_is_made_all_the_same() {
    let disk = Disk::default();
    let store = open(&disk);
    let held = disk.hold();
    let entry = [jti("x")];
    assert!(store.revoke(&entry).now_or_never().is_none());
    drop(held);
    drop(store);
    let store = open(&disk);
    assert!(find(&store, entry[0].digest).unwrap().is_some());
}

#[test]
fn r9_a_file_of_another_layout_or_another_program_is_an_error() {
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let refusal = |disk: &Disk| {
        let opened = EmbeddedStore::builder().start_on(disk.clone(), "a test's disk", None);
        let error = opened.unwrap_err();
        assert!(matches!(error, StoreError::Layout { .. }), "{error}");
        error.to_string()
    };

    // A database that is not ours, or whose first transaction never came through.
    let disk = Disk::default();
    drop(
        redb::Builder::new()
            .create_with_backend(disk.clone())
            .unwrap(),
    );
    assert!(refusal(&disk).contains("layout \"none\""));

    let disk = Disk::default();
    drop(open(&disk));
    let database = redb::Builder::new().create_with_backend(disk.clone());
    let database = database.unwrap();
    let change = database.begin_write().unwrap();
    change
        .open_table(META)
        .unwrap()
        .insert("layout", 2)
        .unwrap();
    change.commit().unwrap();
    drop(database);
    let text = refusal(&disk);
    for part in [
        "layout \"2\"",
        "reads \"1\"",
        "use the version that wrote it",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// One session, and the steps that a client takes with it.
struct Client {
    subject: crate::token::Subject,
    session: SessionId,
    entry: Digest,
    record: Record,
}

impl Client {
    fn new(store: &EmbeddedStore, policy: &Policy) -> Self {
        Self::at(block_on(store.now(shard())).unwrap(), policy)
    }

    fn at(opened_at: Timestamp, policy: &Policy) -> Self {
        let session = SessionId::opened_at(opened_at);
        let entry = Digest::of(&Dimension::Session, "iss", session.as_str().as_bytes());
        let first = Identity {
            generation: 1,
            refresh: "refresh-1".into(),
            access: "access-1".into(),
            issued_at: opened_at,
            refresh_expires_at: opened_at,
            access_expires_at: opened_at,
        };
        let client = "app".into();
        let mut record = Record::opened("alice".into(), entry, client, opened_at, first, policy);
        record.attempt = Some(AttemptId::from_bits(1));
        Self {
            subject: "alice".into(),
            session,
            entry,
            record,
        }
    }

    fn index(&self) -> Index<'static> {
        Index {
            shard: shard(),
            subject: subject("alice").digest,
            others: Digest::of(&Dimension::OtherSessions, "iss", b"alice"),
            issuer: "iss",
        }
    }

    fn open(&self, store: &EmbeddedStore) -> Result<Transitioned, StoreError> {
        block_on(store.transition(&Transition::Open(&self.opening())))
    }

    fn opening(&self) -> Opening<'_> {
        Opening {
            index: self.index(),
            session: &self.session,
            record: &self.record,
            covering: &[],
            since: self.record.opened_at,
            cap: None,
        }
    }

    /// The rotation of a generation, always by the same attempt.
    fn rotate(
        &self,
        store: &EmbeddedStore,
        generation: u64,
        policy: &Policy,
    ) -> Result<Outcome, StoreError> {
        let presented = Presented {
            generation,
            jti: format!("refresh-{generation}").into(),
            subject: self.subject.clone(),
            client: "app".into(),
            presenter: None,
        };
        let proposal = Proposal {
            refresh: format!("refresh-{}", generation + 1).into(),
            access: format!("access-{}", generation + 1).into(),
            access_lifetime: defaults::ACCESS_LIFETIME,
        };
        let rotating = Rotating {
            index: self.index(),
            session: &self.session,
            entry: self.entry,
            born_at: self.record.opened_at,
            covering: &[self.entry, self.index().subject],
            exception: None,
            presented: &presented,
            attempt: AttemptId::from_bits(u128::from(generation) + 1),
            proposal: &proposal,
            policy,
        };
        match block_on(store.transition(&Transition::Rotate(&rotating)))? {
            Transitioned::Rotated(outcome) => Ok(outcome),
            other => panic!("{other:?}"),
        }
    }
}

fn strict() -> Policy {
    Policy {
        grace: std::time::Duration::ZERO,
        ..Policy::default()
    }
}

#[test]
fn r9_a_power_cut_at_any_write_loses_no_rotation_and_a_retry_succeeds() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut disk = Disk::default();
    let store = open(&disk);
    let client = Client::new(&store, &strict());
    client.open(&store).unwrap();
    drop(store);
    let mut generation = 1;
    let mut retried = 0;
    for round in 0..100 {
        let store = open(&disk);
        disk.fail_after(u32::try_from(dice.roll(80)).unwrap());
        let failed = (0..40).find_map(|_| match client.rotate(&store, generation, &strict()) {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Rotated(_)), "{outcome:?}");
                generation += 1;
                None
            }
            Err(error) => Some(error),
        });
        let error = failed.unwrap();
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
        drop(store);
        disk = disk.after_power_cut(&mut dice);
        // Whether the rotation came through or not, its retry is the same rotation.
        let store = open(&disk);
        let outcome = client.rotate(&store, generation, &strict()).unwrap();
        let Outcome::Rotated(identity) = &outcome else {
            panic!("round {round}: {outcome:?}");
        };
        assert_eq!(identity.generation, generation + 1);
        generation += 1;
        retried += 1;
    }
    assert!(retried == 100 && generation > 150, "{generation}");
}

#[test]
fn r9_after_a_failed_write_no_session_takes_a_step() {
    let disk = Disk::default();
    let store = open(&disk);
    let client = Client::new(&store, &strict());
    client.open(&store).unwrap();
    disk.fail_after(0);
    let error = client.rotate(&store, 1, &strict()).unwrap_err();
    assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    disk.platter().budget = None;
    let index = client.index();
    for transition in [Transition::List(&index), Transition::MarkPrivileges(&index)] {
        let error = block_on(store.transition(&transition)).unwrap_err();
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    }
    drop(store);
    let store = open(&disk);
    let outcome = client.rotate(&store, 1, &strict()).unwrap();
    assert!(matches!(outcome, Outcome::Rotated(_)), "{outcome:?}");
}

#[test]
fn s4_reuse_after_a_clock_that_was_ahead_ends_all_that_it_opened() {
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let disk = Disk::default();
    let right = Timestamp::from_millis(1_790_000_000_000);
    let start = |shown| {
        let clock = Arc::new(crate::FakeClock::new(shown));
        let builder = EmbeddedStore::builder().with_clock(clock);
        builder
            .start_on(disk.clone(), "a test's disk", None)
            .unwrap()
    };
    let day = Duration::from_secs(24 * 3_600);
    let store = start(right);
    let bystander = Client::new(&store, &strict());
    bystander.open(&store).unwrap();
    drop(store);
    let store = start(right.saturating_add(day));
    let stolen = Client::new(&store, &strict());
    stolen.open(&store).unwrap();
    stolen.rotate(&store, 1, &strict()).unwrap();
    stolen.rotate(&store, 2, &strict()).unwrap();
    drop(store);
    let store = start(right.saturating_add(2 * day));
    let later = Client::new(&store, &strict());
    later.open(&store).unwrap();
    drop(store);
    // By itself it does not open on a clock that was set back so far.
    edit(&disk, |change| {
        let mut meta = change.open_table(META).unwrap();
        meta.insert("clock_ms", right.as_millis()).unwrap();
    });
    let store = start(right);
    let outcome = stolen.rotate(&store, 1, &strict()).unwrap();
    assert_eq!(outcome, Outcome::Reused);
    for client in [&stolen, &later, &bystander] {
        let outcome = client.rotate(&store, 1, &strict()).unwrap();
        assert_eq!(outcome, Outcome::Ended);
    }
    let most = right.saturating_add(defaults::MAX_CUTOFF_AHEAD);
    let cutoff = find(&store, subject("alice").digest).unwrap();
    assert_eq!(cutoff, Some(Cutoff::At(most)));
    let forever = find(&store, later.entry).unwrap();
    assert_eq!(forever, Some(Cutoff::Forever));
}

#[test]
fn s5_a_sign_out_in_one_transaction_with_a_login_that_is_dated_ahead_reaches_it() {
    let disk = Disk::default();
    let store = open(&disk);
    let now = block_on(store.now(shard())).unwrap();
    let client = Client::at(now.saturating_add(Duration::from_secs(4)), &strict());
    let (first, sign_out) = ([jti("x")], [subject("alice")]);
    let opening = Opening {
        since: now,
        ..client.opening()
    };
    let login = Transition::Open(&opening);
    let held = disk.hold();
    let mut before = store.revoke(&first).boxed();
    assert!(before.as_mut().now_or_never().is_none());
    held.commit();
    // In this order, both behind the one that hangs.
    let mut login = store.transition(&login).boxed();
    assert!(login.as_mut().now_or_never().is_none());
    let mut sign_out = store.revoke(&sign_out).boxed();
    assert!(sign_out.as_mut().now_or_never().is_none());
    drop(held);
    let (opened, signed_out) = block_on(join(login, sign_out));
    let opened = opened.unwrap();
    assert_eq!(opened, Transitioned::Opened(Opened::Opened(vec![])));
    assert!(signed_out.unwrap().at >= client.record.opened_at);
    let outcome = client.rotate(&store, 1, &strict()).unwrap();
    assert_eq!(outcome, Outcome::Ended);
    let cutoff = find(&store, subject("alice").digest).unwrap().unwrap();
    assert!(cutoff.covers(client.record.opened_at));
    block_on(before).unwrap();
}

#[test]
fn looking_and_listing_wait_for_no_disk() {
    let disk = Disk::default();
    let store = open(&disk);
    let client = Client::new(&store, &strict());
    client.open(&store).unwrap();
    let before = store.stats().commits;
    for _ in 0..10 {
        block_on(store.transition(&Transition::List(&client.index()))).unwrap();
    }
    assert_eq!(store.stats().commits, before);
}

#[test]
fn a_file_from_before_there_were_sessions_opens() {
    let disk = Disk::default();
    let store = open(&disk);
    let revoked = jti("revoked");
    block_on(store.revoke(std::slice::from_ref(&revoked))).unwrap();
    drop(store);
    edit(&disk, |change| {
        for name in ["sessions", "session_users", "session_due"] {
            let mut tables = change.list_tables().unwrap();
            let table = tables.find(|table| redb::TableHandle::name(table) == name);
            assert!(change.delete_table(table.unwrap()).unwrap(), "{name}");
        }
    });
    let store = open(&disk);
    assert!(find(&store, revoked.digest).unwrap().is_some());
    let client = Client::new(&store, &strict());
    let index = client.index();
    let listed = block_on(store.transition(&Transition::List(&index))).unwrap();
    assert_eq!(listed, Transitioned::Listed(vec![]));
    client.open(&store).unwrap();
    client.rotate(&store, 1, &strict()).unwrap();
}

#[test]
fn r9_a_file_with_a_record_that_cannot_be_read_does_not_open() {
    let disk = Disk::default();
    let store = open(&disk);
    let client = Client::new(&store, &strict());
    client.open(&store).unwrap();
    drop(store);
    edit(&disk, |change| {
        let mut sessions = change.open_table(rows::SESSIONS).unwrap();
        let row = (&[0; 16], 0, &[9, 9, 9][..]);
        sessions.insert(client.entry.as_bytes(), row).unwrap();
    });
    let opened = EmbeddedStore::builder().start_on(disk, "a test's disk", None);
    let text = opened.unwrap_err().to_string();
    assert!(
        text.contains("the record of a session is damaged"),
        "{text}"
    );
}

/// Changes a closed store's tables behind its back.
fn edit(disk: &Disk, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = redb::Builder::new().create_with_backend(disk.clone());
    let database = database.unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}
