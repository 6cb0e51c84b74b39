//! I1 over several processes: once a revocation was acknowledged, no strict check accepts the token in any of
//! them, and no mirrored one after its bound, whatever happens to the server, the network and the processes.
//!
//! Each test records what its processes do, on one clock, and judges the record afterwards (`history`).
//! `LINEARIZABILITY_SECONDS` makes the runs longer, `LINEARIZABILITY_SEED` repeats a choice of faults.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod fleet;
mod liar;
mod worker;

use std::{collections::BTreeSet, env, time::Duration};

use jwt_revoke_core::store::RedisStore;
use jwt_revoke_tests::{
    history::{Instant, Rule, now},
    proxy::Fault,
    redis_server::{RedisSentinels, RedisServer},
};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    fleet::{Fleet, Reach},
    liar::Lie,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_revoked_stays_out_while_server_network_and_processes_fail() {
    // What it has acknowledged it knows after a restart: one history.
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    make_shards(&server.url()).await;
    let (seed, until) = (seed(), end());
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Proxies(server.port()), None).await;
    let faults = async {
        for round in 1.. {
            let mut deck = Trouble::ALL;
            random.shuffle(&mut deck);
            for trouble in deck {
                trouble.make(&fleet, &mut server, &mut random).await;
                sleep(between(&mut random, 150, 400)).await;
            }
            let enough = is_enough(&fleet);
            if now() >= until && (enough || round >= MOST_ROUNDS) {
                return;
            }
        }
    };
    is_kept(&fleet, faults, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_revoked_stays_out_when_the_server_loses_its_data() {
    let mut server = RedisServer::start();
    make_shards(&server.url()).await;
    let (seed, until) = (seed(), end());
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Proxies(server.port()), None).await;
    let faults = async {
        loop {
            for restart in [false, true] {
                sleep(between(&mut random, 500, 1_000)).await;
                if restart {
                    fleet.note("the server is killed, and comes back empty");
                    server.kill();
                    sleep(between(&mut random, 50, 500)).await;
                    block_in_place(|| server.run());
                } else {
                    fleet.note("FLUSHALL");
                    block_in_place(|| server.cli(&["FLUSHALL"]));
                }
                // Once the shards are whole; those who live have put back what they know.
                fleet.until_all_accept().await;
            }
            if now() >= until {
                return;
            }
        }
    };
    is_kept(&fleet, faults, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_revoked_stays_out_while_logs_are_lost_and_scripts_fail_in_their_middle() {
    let server = RedisServer::start();
    make_shards(&server.url()).await;
    let (seed, until) = (seed(), end());
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Proxies(server.port()), None).await;
    let faults = async {
        loop {
            let mut deck = Damage::ALL;
            random.shuffle(&mut deck);
            for damage in deck {
                sleep(between(&mut random, 300, 700)).await;
                damage.make(&fleet, &server, &mut random).await;
                // Who starts now knows nothing but what the store tells.
                fleet.replace(&mut random).await;
                fleet.until_all_accept().await;
            }
            if now() >= until {
                return;
            }
        }
    };
    is_kept(&fleet, faults, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r55_what_a_process_knew_it_knows_after_an_older_snapshot_of_the_same_epoch() {
    let mut server = RedisServer::start();
    make_shards(&server.url()).await;
    let (seed, until) = (seed(), end());
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Proxies(server.port()), None).await;
    let faults = async {
        for round in 0.. {
            fleet.note("a snapshot is kept");
            assert_eq!(block_in_place(|| server.cli(&["SAVE"])), "OK");
            sleep(between(&mut random, 500, 1_500)).await;
            fleet.note("the server is killed, and comes back with it");
            server.kill();
            sleep(between(&mut random, 50, 1_000)).await;
            block_in_place(|| server.run());
            let restarted = now();
            fleet.until_acked(restarted).await;
            fleet.until_all_accept().await;
            if round >= 2 && now() >= until {
                return;
            }
        }
    };
    is_kept(&fleet, faults, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_what_a_process_knew_it_knows_after_a_failover() {
    let mut group = RedisSentinels::start();
    make_shards(&group.url()).await;
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Address(group.url()), None).await;
    let faults = async {
        sleep(between(&mut random, 500, 1_500)).await;
        fleet.note("the primary is killed");
        group.servers[0].kill();
        let killed = now();
        fleet.until_acked(killed).await;
        fleet.until_all_accept().await;
        fleet.note("it comes back");
        block_in_place(|| group.servers[0].run());
        sleep(between(&mut random, 500, 1_500)).await;
    };
    // All of it is known again in the end, since those who wrote it live. What the new primary had not heard of
    // may be accepted meanwhile by those who had not either.
    is_kept(&fleet, faults, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_believed_beyond_its_bound_is_noticed() {
    is_noticed(Lie::Stale, Rule::Staleness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_check_that_does_not_ask_is_noticed() {
    is_noticed(Lie::NotStrict, Rule::Strict).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_is_taken_for_not_revoked_is_noticed() {
    is_noticed(Lie::Guess, Rule::Strict).await;
}

/// Everything goes on until the faults are over.
async fn under_load(fleet: &Fleet, faults: impl Future<Output = ()>) {
    tokio::select! {
        () = faults => {}
        () = fleet.load() => {}
    }
}

/// The promise is kept whatever the faults are, and enough happens to prove it.
async fn is_kept(fleet: &Fleet, faults: impl Future<Output = ()>, one_history: bool) {
    under_load(fleet, faults).await;
    fleet.settle().await;
    fleet.assert_kept(one_history);
    assert!(is_enough(fleet), "too little happened");
}

/// A store that breaks the promise is found out by the harness that finds nothing wrong with the real one.
async fn is_noticed(lie: Lie, rule: Rule) {
    let server = RedisServer::start();
    make_shards(&server.url()).await;
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let fleet = Fleet::start(seed, Reach::Proxies(server.port()), Some(lie)).await;
    let broken = || {
        let violations = fleet.violations(true);
        let rules = violations.iter().map(|broken| broken.rule);
        rules.collect::<BTreeSet<_>>()
    };
    let faults = async {
        for _ in 0..10 {
            let lasts = Duration::from_millis(1_200);
            fleet.partition(&mut random, Fault::Blackhole, lasts).await;
            sleep(Duration::from_millis(300)).await;
            if broken().contains(&rule) {
                return;
            }
        }
    };
    under_load(&fleet, faults).await;
    let broken = broken();
    let report = fleet.report(&fleet.violations(true));
    assert!(broken.contains(&rule), "{lie:?}: {report}");
    // Whoever knows too little refuses nobody.
    assert!(!broken.contains(&Rule::NoFalseRefusal), "{lie:?}: {report}");
    assert!(!broken.contains(&Rule::NothingElse), "{lie:?}: {report}");
}

/// What can go wrong while the store has one history.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Connections are cut, and new ones too.
    Cut,
    /// Nothing passes.
    Partition,
    /// What is asked happens, and nobody hears of it in time.
    Deaf,
    /// Nothing is asked.
    Mute,
    /// Answers come late.
    Slow,
    /// The server stands still.
    Frozen,
    /// The server is killed, and comes back with what it knew.
    Killed,
    /// A process stands still.
    Paused,
    /// A process is killed, and another takes its place.
    Replaced,
}

impl Trouble {
    const ALL: [Self; 9] = [
        Self::Cut,
        Self::Partition,
        Self::Deaf,
        Self::Mute,
        Self::Slow,
        Self::Frozen,
        Self::Killed,
        Self::Paused,
        Self::Replaced,
    ];

    async fn make(self, fleet: &Fleet, server: &mut RedisServer, random: &mut fastrand::Rng) {
        // Longer than the bound of a mirror, mostly.
        let lasts = between(random, 400, 1_300);
        let delay = between(random, 10, 120);
        match self {
            Self::Cut => fleet.partition(random, Fault::Reset, lasts).await,
            Self::Partition => fleet.partition(random, Fault::Blackhole, lasts).await,
            Self::Deaf => fleet.partition(random, Fault::HoldAnswers, lasts).await,
            Self::Mute => fleet.partition(random, Fault::HoldRequests, lasts).await,
            Self::Slow => fleet.partition(random, Fault::Delay(delay), lasts).await,
            Self::Frozen => {
                fleet.note(format!("the server stands still for {lasts:?}"));
                server.freeze();
                sleep(lasts).await;
                server.resume();
            }
            Self::Killed => {
                fleet.note(format!("the server is killed for {delay:?}"));
                server.kill();
                sleep(delay).await;
                block_in_place(|| server.run());
            }
            Self::Paused => fleet.pause(random, lasts).await,
            Self::Replaced => fleet.replace(random).await,
        }
    }
}

/// What can be done to the logs of a store, and to its scripts, while its entries are kept.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// All logs are deleted, as an operator or an eviction does.
    Deleted,
    /// They are emptied, or cut to their last entries.
    Trimmed(&'static str),
    /// Some entry of each is deleted.
    Holes,
    /// Another type stands in their places.
    Replaced,
    /// With the logs goes what the shards say of them.
    Forgotten,
    /// A right that scripts need is taken away for a while.
    Right(&'static str),
}

impl Damage {
    const ALL: [Self; 9] = [
        Self::Deleted,
        Self::Trimmed("0"),
        Self::Trimmed("3"),
        Self::Holes,
        Self::Replaced,
        Self::Forgotten,
        Self::Right("xadd"),
        Self::Right("set"),
        Self::Right("pttl"),
    ];

    async fn make(self, fleet: &Fleet, server: &RedisServer, random: &mut fastrand::Rng) {
        fleet.note(format!("{self:?}"));
        let all = |script: &str, argument: &str| {
            block_in_place(|| {
                let keys = server.cli(&["KEYS", "jr:*:log"]);
                for log in keys.lines() {
                    let meta = log.replace(":log", ":meta");
                    server.cli(&["EVAL", script, "2", log, &meta, argument]);
                }
            });
        };
        match self {
            Self::Deleted => all("redis.call('DEL', KEYS[1])", ""),
            Self::Trimmed(kept) => all("redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1])", kept),
            Self::Holes => all(
                "local all = redis.call('XRANGE', KEYS[1], '-', '+')
                 if #all > 0 then redis.call('XDEL', KEYS[1], all[math.ceil(#all / 2)][1]) end",
                "",
            ),
            Self::Replaced => all(
                "redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'a', 'b')",
                "",
            ),
            Self::Forgotten => all("redis.call('DEL', KEYS[1], KEYS[2])", ""),
            Self::Right(right) => {
                let rule = |sign| {
                    block_in_place(|| {
                        server.cli(&["ACL", "SETUSER", "default", &format!("{sign}{right}")])
                    })
                };
                assert_eq!(rule("-"), "OK");
                sleep(between(random, 400, 1_300)).await;
                assert_eq!(rule("+"), "OK");
            }
        }
    }
}

/// Whether enough happened to prove anything.
fn is_enough(fleet: &Fleet) -> bool {
    let evidence = fleet.evidence(Instant::ZERO);
    evidence.acked >= 30
        && evidence.accepted >= 500
        && evidence.strict_after >= 50
        && evidence.mirror_after >= 50
        && evidence.at_once >= 500
        && evidence.unknown >= 1
}

/// Gives a new server its epochs, without the time that others have to put back what it never had.
async fn make_shards(address: &str) {
    let store = RedisStore::builder(address).with_healing(Duration::ZERO);
    store.connect().await.unwrap();
}

fn between(random: &mut fastrand::Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(random.u64(from..to))
}

fn seed() -> u64 {
    let seed = env::var("LINEARIZABILITY_SEED");
    let seed = seed.map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("LINEARIZABILITY_SEED={seed}");
    seed
}

/// Until when faults are made.
fn end() -> Instant {
    let seconds = env::var("LINEARIZABILITY_SECONDS");
    let seconds = seconds.map_or(0, |seconds| seconds.parse().unwrap());
    now() + Duration::from_secs(seconds)
}

/// How often all faults are made if little happens meanwhile.
const MOST_ROUNDS: u32 = 5;
