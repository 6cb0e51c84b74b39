//! One suite for every store: the contract of [`Store`], point by point.
//!
//! ```ignore
//! struct Mine { .. }
//! impl Fixture for Mine { .. }
//!
//! mod mine {
//!     jwt_revoke_tests::store_suite!(super::Mine);
//! }
//! ```
#![expect(missing_docs, reason = "the name of a test is what it claims")]
#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use jwt_revoke_core::{
    Timestamp, defaults,
    revocation::{ClaimName, Cutoff, Digest, Dimension, Horizon, Horizons, Placement, Shard},
    store::{AnyStore, Lookup, Reach, Revocation, Revoked, Store, StoreError},
};

/// How the suite comes by a store, and what that store can do.
pub trait Fixture: Send + Sync + Sized + 'static {
    /// The store under test.
    type Store: Store;

    /// Whether [`Store::lookup_now`] always answers.
    const ANSWERS_AT_ONCE: bool;

    /// A store that holds nothing, and whatever must live as long as it does.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> &Arc<Self::Store>;

    /// The same data in a store opened anew; `None`, the default, if it does not outlive the store.
    fn reopened(self) -> impl Future<Output = Option<Self>> + Send {
        async { None }
    }
}

/// All tests of the suite, as `#[tokio::test]`s, over a [`Fixture`]. With `in_turn:` before it, they
/// are one `async fn in_turn()` instead, for a store that takes long to bring up.
#[macro_export]
macro_rules! store_suite {
    (in_turn: $fixture:ty) => {
        $crate::store_suite!(@all in_turn $fixture);
    };
    ($fixture:ty) => {
        $crate::store_suite!(@all apart $fixture);
    };
    (@all $how:ident $fixture:ty) => {
        $crate::store_suite!(@$how $fixture;
            a_store_that_holds_nothing_finds_nothing,
            what_is_acknowledged_is_found_at_once,
            what_was_not_revoked_is_not_found,
            a_cutoff_is_only_ever_raised,
            nothing_lowers_forever,
            a_repeated_revocation_does_no_harm,
            every_dimension_is_an_entry_of_its_own,
            t12_the_same_value_at_two_issuers_is_two_entries,
            t11_ids_of_any_shape_are_kept_apart,
            a_wide_entry_is_seen_from_every_shard,
            an_entry_is_seen_from_its_own_shard,
            a_lookup_reports_the_highest_of_all_cutoffs,
            a_cutoff_of_now_covers_every_instant_told_before,
            a_session_opened_after_a_cutoff_is_born_after_it,
            slack_is_added_to_a_cutoff_of_now,
            r12_a_cutoff_too_far_ahead_is_refused_and_nothing_written,
            r12_the_clock_never_runs_backwards,
            a_batch_is_in_force_when_it_is_acknowledged,
            an_empty_batch_is_harmless,
            ten_thousand_entries_are_found,
            i6_concurrent_revocations_are_all_found,
            concurrent_raises_of_one_entry_end_at_the_highest,
            horizons_can_be_required_again_and_lower,
            r6_an_entry_of_either_horizon_is_found,
            a_working_store_is_ready,
            any_store_takes_it,
            i6_a_store_opened_anew_holds_what_was_acknowledged,
        );
    };
    (@apart $fixture:ty; $($test:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::store_suite::$test::<$fixture>().await;
            }
        )*
    };
    (@in_turn $fixture:ty; $($test:ident,)*) => {
        pub(super) async fn in_turn() {
            $(
                // Shown when it fails: which of them it was.
                println!("{}", stringify!($test));
                $crate::store_suite::$test::<$fixture>().await;
            )*
        }
    };
}

/// The issuer of the suite's tokens.
pub const ISSUER: &str = "https://auth.example.com";

/// The shard of the suite's user.
pub fn shard() -> Shard {
    Shard::of_subject(ISSUER, &"alice".into())
}

/// A revocation in the shard of the suite's user.
pub fn revocation(dimension: &Dimension, value: &str, reach: Reach) -> Revocation {
    let placement = Placement::One(shard());
    Revocation::new(dimension.clone(), ISSUER, value, placement, reach)
}

/// One token of the suite's user, revoked for ever.
pub fn jti(value: &str) -> Revocation {
    revocation(&Dimension::Jti, value, Reach::Forever)
}

/// All dimensions, two claims of the application among them.
pub fn dimensions() -> Vec<Dimension> {
    let claim = |name| Dimension::Claim(ClaimName::new(name).unwrap());
    vec![
        Dimension::Jti,
        Dimension::Session,
        Dimension::Subject,
        Dimension::Client,
        Dimension::Issuer,
        Dimension::Key,
        claim("tenant"),
        claim("team"),
    ]
}

/// What the store finds for one digest, asked in both ways.
pub async fn find_in<F: Fixture>(fixture: &F, shard: Shard, digest: Digest) -> Option<Cutoff> {
    let digests = [digest];
    let query = Lookup::new(shard, &digests);
    let found = fixture.store().lookup(&query).await.unwrap().highest();
    match fixture.store().lookup_now(&query) {
        Some(at_once) => assert_eq!(at_once.unwrap().highest(), found),
        None => assert!(!F::ANSWERS_AT_ONCE),
    }
    found
}

async fn find<F: Fixture>(fixture: &F, revocation: &Revocation) -> Option<Cutoff> {
    find_in(fixture, shard(), revocation.digest).await
}

async fn now<F: Fixture>(fixture: &F) -> Timestamp {
    fixture.store().now(shard()).await.unwrap()
}

async fn revoke<F: Fixture>(fixture: &F, revocations: &[Revocation]) -> Timestamp {
    fixture.store().revoke(revocations).await.unwrap().at
}

const NOW: Reach = Reach::Now {
    ahead: Duration::ZERO,
};

const MILLISECOND: Duration = Duration::from_millis(1);

pub async fn a_store_that_holds_nothing_finds_nothing<F: Fixture>() {
    let fixture = F::fresh().await;
    let digests: Vec<_> = (0..16).map(|n| jti(&n.to_string()).digest).collect();
    for shard in Shard::all() {
        let found = fixture.store().lookup(&Lookup::new(shard, &digests)).await;
        assert_eq!(found.unwrap().highest(), None);
    }
    let none = fixture.store().lookup(&Lookup::new(shard(), &[])).await;
    assert_eq!(none.unwrap().highest(), None);
}

pub async fn what_is_acknowledged_is_found_at_once<F: Fixture>() {
    let fixture = F::fresh().await;
    for n in 0..50 {
        let entry = jti(&n.to_string());
        revoke(&fixture, std::slice::from_ref(&entry)).await;
        assert_eq!(find(&fixture, &entry).await, Some(Cutoff::Forever));
    }
}

pub async fn what_was_not_revoked_is_not_found<F: Fixture>() {
    let fixture = F::fresh().await;
    revoke(&fixture, &[jti("a")]).await;
    for other in ["A", "b", "", "a ", "aa"] {
        assert_eq!(find(&fixture, &jti(other)).await, None, "{other:?}");
    }
}

pub async fn a_cutoff_is_only_ever_raised<F: Fixture>() {
    let fixture = F::fresh().await;
    let start = now(&fixture).await;
    let at = |seconds| start.saturating_sub(Duration::from_secs(seconds));
    let until = |instant| revocation(&Dimension::Subject, "alice", Reach::At(instant));
    for (given, expected) in [(20, 20), (30, 20), (20, 20), (10, 10), (25, 10), (10, 10)] {
        revoke(&fixture, &[until(at(given))]).await;
        let found = find(&fixture, &until(start)).await;
        assert_eq!(found, Some(Cutoff::At(at(expected))), "after {given}");
    }
    // Also within one batch, in any order.
    revoke(&fixture, &[until(at(8)), until(at(4)), until(at(6))]).await;
    let found = find(&fixture, &until(start)).await;
    assert_eq!(found, Some(Cutoff::At(at(4))));
}

pub async fn nothing_lowers_forever<F: Fixture>() {
    let fixture = F::fresh().await;
    let session = |reach| revocation(&Dimension::Session, "s", reach);
    let start = now(&fixture).await;
    revoke(&fixture, &[session(Reach::At(start))]).await;
    revoke(&fixture, &[session(Reach::Forever)]).await;
    for reach in [Reach::At(start), NOW, Reach::At(Timestamp::EPOCH)] {
        revoke(&fixture, &[session(reach)]).await;
        let found = find(&fixture, &session(NOW)).await;
        assert_eq!(found, Some(Cutoff::Forever), "{reach:?}");
    }
}

pub async fn a_repeated_revocation_does_no_harm<F: Fixture>() {
    let fixture = F::fresh().await;
    let entries = [
        jti("a"),
        revocation(&Dimension::Subject, "alice", Reach::At(now(&fixture).await)),
    ];
    revoke(&fixture, &entries).await;
    let before = join_all(entries.iter().map(|entry| find(&fixture, entry))).await;
    for _ in 0..20 {
        revoke(&fixture, &entries).await;
    }
    let after = join_all(entries.iter().map(|entry| find(&fixture, entry))).await;
    assert_eq!(after, before);
    assert!(after.iter().all(Option::is_some));
}

pub async fn every_dimension_is_an_entry_of_its_own<F: Fixture>() {
    let fixture = F::fresh().await;
    let entries: Vec<_> = dimensions()
        .iter()
        .map(|dimension| revocation(dimension, "same", Reach::Forever))
        .collect();
    for (n, entry) in entries.iter().enumerate() {
        revoke(&fixture, std::slice::from_ref(entry)).await;
        for (other, entry) in entries.iter().enumerate() {
            let expected = (other <= n).then_some(Cutoff::Forever);
            assert_eq!(find(&fixture, entry).await, expected, "{n} {other}");
        }
    }
}

pub async fn t12_the_same_value_at_two_issuers_is_two_entries<F: Fixture>() {
    let fixture = F::fresh().await;
    for dimension in dimensions() {
        let at = |issuer| {
            let placement = Placement::One(shard());
            Revocation::new(dimension.clone(), issuer, "x", placement, Reach::Forever)
        };
        revoke(&fixture, &[at("https://a.example")]).await;
        assert!(find(&fixture, &at("https://a.example")).await.is_some());
        assert_eq!(find(&fixture, &at("https://b.example")).await, None);
    }
}

pub async fn t11_ids_of_any_shape_are_kept_apart<F: Fixture>() {
    let fixture = F::fresh().await;
    let long = "x".repeat(70 * 1024);
    let longer = format!("{long}x");
    let ids = [
        "",
        ":",
        "{}",
        "*",
        "\n",
        "\0",
        "\r\nDEL x",
        "user:alice",
        "jr:{0}:meta",
        "ä",
        "a\u{308}",
        "%00",
        "$6\r\nfoobar",
        "'; --",
        &long,
        &longer,
    ];
    for (n, id) in ids.iter().enumerate() {
        revoke(&fixture, &[jti(id)]).await;
        for (other, id) in ids.iter().enumerate() {
            let expected = (other <= n).then_some(Cutoff::Forever);
            assert_eq!(find(&fixture, &jti(id)).await, expected, "{n} {other}");
        }
    }
}

pub async fn a_wide_entry_is_seen_from_every_shard<F: Fixture>() {
    let fixture = F::fresh().await;
    for (dimension, reach) in dimensions()
        .into_iter()
        .zip([NOW, Reach::Forever].into_iter().cycle())
    {
        let entry = Revocation::new(dimension, ISSUER, "wide", Placement::Wide, reach);
        let at = revoke(&fixture, std::slice::from_ref(&entry)).await;
        let first = find(&fixture, &entry).await;
        assert!(first.is_some());
        for shard in Shard::all() {
            assert_eq!(
                find_in(&fixture, shard, entry.digest).await,
                first,
                "{shard}"
            );
        }
        // One instant for all shards, and it has passed when the answer comes.
        if let Some(Cutoff::At(cutoff)) = first {
            assert!(cutoff <= at, "{cutoff} {at}");
        }
    }
}

pub async fn an_entry_is_seen_from_its_own_shard<F: Fixture>() {
    let fixture = F::fresh().await;
    for shard in Shard::all() {
        let placement = Placement::One(shard);
        let value = shard.to_string();
        let entry = Revocation::new(
            Dimension::Session,
            ISSUER,
            &value,
            placement,
            Reach::Forever,
        );
        revoke(&fixture, std::slice::from_ref(&entry)).await;
        let found = find_in(&fixture, shard, entry.digest).await;
        assert_eq!(found, Some(Cutoff::Forever), "{shard}");
    }
}

pub async fn a_lookup_reports_the_highest_of_all_cutoffs<F: Fixture>() {
    let fixture = F::fresh().await;
    let start = now(&fixture).await;
    let earlier = start.saturating_sub(Duration::from_secs(60));
    let entries = [
        revocation(&Dimension::Session, "s", Reach::At(earlier)),
        revocation(&Dimension::Subject, "alice", Reach::At(start)),
        revocation(&Dimension::Issuer, ISSUER, Reach::At(Timestamp::EPOCH)),
    ];
    revoke(&fixture, &entries).await;
    let unknown = jti("unknown").digest;
    let digests = [
        unknown,
        entries[0].digest,
        entries[1].digest,
        entries[2].digest,
    ];
    let query = Lookup::new(shard(), &digests).with_jti(Some("unknown"));
    let found = fixture.store().lookup(&query).await.unwrap();
    assert_eq!(found.highest(), Some(Cutoff::At(start)));
    assert_eq!(found.covering(start), Some(2));
    assert_eq!(found.covering(start.saturating_add(MILLISECOND)), None);

    revoke(&fixture, &[jti("unknown")]).await;
    let found = fixture.store().lookup(&query).await.unwrap();
    assert_eq!(found.covering(Timestamp::from_millis(u64::MAX)), Some(0));
}

pub async fn a_cutoff_of_now_covers_every_instant_told_before<F: Fixture>() {
    let fixture = F::fresh().await;
    let entry = revocation(&Dimension::Subject, "alice", NOW);
    for _ in 0..20 {
        let born = now(&fixture).await;
        let returned = revoke(&fixture, std::slice::from_ref(&entry)).await;
        let found = find(&fixture, &entry).await.unwrap();
        assert!(found.covers(born), "{found:?} {born}");
        assert!(Cutoff::At(returned) >= found, "{found:?} {returned}");
        // It is no more than what was asked for either.
        let after = now(&fixture).await;
        assert!(found <= Cutoff::At(after), "{found:?} {after}");
    }
}

pub async fn a_session_opened_after_a_cutoff_is_born_after_it<F: Fixture>() {
    let fixture = F::fresh().await;
    let entry = revocation(&Dimension::Subject, "alice", NOW);
    let mut born = now(&fixture).await;
    for _ in 0..20 {
        revoke(&fixture, std::slice::from_ref(&entry)).await;
        let cutoff = find(&fixture, &entry).await.unwrap();
        assert!(cutoff.covers(born));
        let Cutoff::At(instant) = cutoff else {
            panic!("{cutoff:?}");
        };
        // As a login does it.
        born = now(&fixture).await.max(instant.saturating_add(MILLISECOND));
        assert!(!cutoff.covers(born));
    }
}

pub async fn slack_is_added_to_a_cutoff_of_now<F: Fixture>() {
    let fixture = F::fresh().await;
    let ahead = defaults::FOREIGN_SKEW;
    let entry = revocation(&Dimension::Subject, "alice", Reach::Now { ahead });
    let before = now(&fixture).await;
    revoke(&fixture, std::slice::from_ref(&entry)).await;
    let after = now(&fixture).await;
    let found = find(&fixture, &entry).await.unwrap();
    assert!(
        found >= Cutoff::At(before.saturating_add(ahead)),
        "{found:?}"
    );
    assert!(
        found <= Cutoff::At(after.saturating_add(ahead)),
        "{found:?}"
    );
}

pub async fn r12_a_cutoff_too_far_ahead_is_refused_and_nothing_written<F: Fixture>() {
    let fixture = F::fresh().await;
    let now = now(&fixture).await;
    let far = now.saturating_add(Duration::from_secs(3600));
    let longer = defaults::MAX_CUTOFF_AHEAD + Duration::from_secs(1);
    for reach in [
        Reach::At(far),
        Reach::At(Timestamp::from_millis(u64::MAX)),
        Reach::Now { ahead: longer },
        Reach::Now {
            ahead: Duration::MAX,
        },
    ] {
        let entry = revocation(&Dimension::Subject, "alice", reach);
        let error = fixture
            .store()
            .revoke(std::slice::from_ref(&entry))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::CutoffAhead { .. }), "{error}");
        assert_eq!(find(&fixture, &entry).await, None, "{reach:?}");
        let wide = Revocation::new(Dimension::Client, ISSUER, "app", Placement::Wide, reach);
        let wide_error = fixture.store().revoke(std::slice::from_ref(&wide)).await;
        assert!(matches!(wide_error, Err(StoreError::CutoffAhead { .. })));
        for shard in Shard::all() {
            assert_eq!(find_in(&fixture, shard, wide.digest).await, None);
        }
    }
    // Within the bound it is accepted.
    let near = now.saturating_add(defaults::MAX_CUTOFF_AHEAD / 2);
    let entry = revocation(&Dimension::Subject, "alice", Reach::At(near));
    revoke(&fixture, std::slice::from_ref(&entry)).await;
    assert_eq!(find(&fixture, &entry).await, Some(Cutoff::At(near)));
}

pub async fn r12_the_clock_never_runs_backwards<F: Fixture>() {
    let fixture = F::fresh().await;
    let mut latest = Timestamp::EPOCH;
    for n in 0..100 {
        let told = if n % 5 == 0 {
            revoke(&fixture, &[jti(&n.to_string())]).await
        } else {
            now(&fixture).await
        };
        assert!(told >= latest, "{told} after {latest}");
        latest = told;
    }
    for shard in Shard::all() {
        fixture.store().now(shard).await.unwrap();
    }
}

pub async fn a_batch_is_in_force_when_it_is_acknowledged<F: Fixture>() {
    let fixture = F::fresh().await;
    let mut batch: Vec<_> = dimensions()
        .iter()
        .map(|dimension| revocation(dimension, "x", NOW))
        .collect();
    batch.extend((0..100).map(|n| jti(&n.to_string())));
    batch.push(Revocation::new(
        Dimension::Key,
        ISSUER,
        "k1",
        Placement::Wide,
        Reach::Forever,
    ));
    let at = revoke(&fixture, &batch).await;
    for entry in &batch {
        let found = find(&fixture, entry).await.unwrap();
        assert!(found == Cutoff::Forever || found <= Cutoff::At(at));
    }
}

pub async fn an_empty_batch_is_harmless<F: Fixture>() {
    let fixture = F::fresh().await;
    let before = now(&fixture).await;
    assert!(revoke(&fixture, &[]).await >= before);
}

pub async fn ten_thousand_entries_are_found<F: Fixture>() {
    let fixture = F::fresh().await;
    let entries: Vec<_> = (0..10_000).map(|n| jti(&n.to_string())).collect();
    for batch in entries.chunks(1000) {
        revoke(&fixture, batch).await;
    }
    for entries in entries.chunks(100) {
        let found = join_all(entries.iter().map(|entry| find(&fixture, entry))).await;
        assert!(found.iter().all(|cutoff| *cutoff == Some(Cutoff::Forever)));
    }
    assert_eq!(find(&fixture, &jti("10000")).await, None);
}

pub async fn i6_concurrent_revocations_are_all_found<F: Fixture>() {
    let fixture = Arc::new(F::fresh().await);
    let tasks = (0..64).map(|task| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            for n in 0..10 {
                let entry = jti(&format!("{task}-{n}"));
                revoke(&*fixture, std::slice::from_ref(&entry)).await;
                // At once, whatever the others do meanwhile.
                assert!(find(&*fixture, &entry).await.is_some(), "{task}-{n}");
            }
        })
    });
    try_join_all(tasks).await.unwrap();
    for task in 0..64 {
        for n in 0..10 {
            assert!(
                find(&*fixture, &jti(&format!("{task}-{n}")))
                    .await
                    .is_some()
            );
        }
    }
}

pub async fn concurrent_raises_of_one_entry_end_at_the_highest<F: Fixture>() {
    let fixture = Arc::new(F::fresh().await);
    let start = now(&*fixture).await;
    let until = |seconds| {
        let instant = start.saturating_sub(Duration::from_secs(seconds));
        revocation(&Dimension::Subject, "alice", Reach::At(instant))
    };
    // In an order that is neither up nor down.
    let tasks = (0..50).map(|n| {
        let fixture = Arc::clone(&fixture);
        let entry = until(n * 17 % 50);
        tokio::spawn(async move {
            let Reach::At(given) = entry.reach else {
                unreachable!("it was given an instant")
            };
            revoke(&*fixture, std::slice::from_ref(&entry)).await;
            assert!(find(&*fixture, &entry).await >= Some(Cutoff::At(given)));
        })
    });
    try_join_all(tasks).await.unwrap();
    let found = find(&*fixture, &until(0)).await;
    assert_eq!(found, Some(Cutoff::At(start)));
}

pub async fn horizons_can_be_required_again_and_lower<F: Fixture>() {
    let fixture = F::fresh().await;
    let days = |n: u64| Duration::from_secs(n * 24 * 3600);
    for (access, session) in [(1, 60), (1, 60), (0, 1), (2, 3)] {
        let horizons = Horizons::covering(days(access), days(session), Duration::ZERO);
        fixture.store().require(horizons).await.unwrap();
        let entry = jti(&format!("{access}-{session}"));
        revoke(&fixture, std::slice::from_ref(&entry)).await;
        assert!(find(&fixture, &entry).await.is_some());
    }
}

pub async fn r6_an_entry_of_either_horizon_is_found<F: Fixture>() {
    let fixture = F::fresh().await;
    for (n, horizon) in [Horizon::Access, Horizon::Session].into_iter().enumerate() {
        let mut entry = jti(&n.to_string());
        entry.horizon = horizon;
        revoke(&fixture, std::slice::from_ref(&entry)).await;
        assert!(find(&fixture, &entry).await.is_some(), "{horizon:?}");
    }
}

pub async fn a_working_store_is_ready<F: Fixture>() {
    let fixture = F::fresh().await;
    fixture.store().ready().await.unwrap();
    revoke(&fixture, &[jti("x")]).await;
    fixture.store().ready().await.unwrap();
}

pub async fn any_store_takes_it<F: Fixture>() {
    // What all adapters hold; it shares the `Arc`, not the store.
    let fixture = F::fresh().await;
    let _: AnyStore = AnyStore::from(Shared(Arc::clone(fixture.store())));
}

pub async fn i6_a_store_opened_anew_holds_what_was_acknowledged<F: Fixture>() {
    let fixture = F::fresh().await;
    let mut entries: Vec<_> = dimensions()
        .iter()
        .map(|dimension| revocation(dimension, "x", NOW))
        .collect();
    entries.extend((0..100).map(|n| jti(&n.to_string())));
    let at = revoke(&fixture, &entries).await;
    let told = now(&fixture).await;
    let before = join_all(entries.iter().map(|entry| find(&fixture, entry))).await;
    let Some(fixture) = fixture.reopened().await else {
        return;
    };
    let after = join_all(entries.iter().map(|entry| find(&fixture, entry))).await;
    assert_eq!(after, before);
    assert!(after.iter().all(Option::is_some));
    let later = now(&fixture).await;
    assert!(later >= at && later >= told, "{later} {at} {told}");
}

/// A store behind an `Arc`, as an example of one that a stranger wrote.
struct Shared<S>(Arc<S>);

impl<S: Store> Store for Shared<S> {
    async fn lookup(
        &self,
        query: &Lookup<'_>,
    ) -> Result<jwt_revoke_core::revocation::Cutoffs, StoreError> {
        self.0.lookup(query).await
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        self.0.revoke(revocations).await
    }

    async fn now(&self, shard: Shard) -> Result<Timestamp, StoreError> {
        self.0.now(shard).await
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.0.require(horizons).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.0.ready().await
    }
}
