//! How long after a revocation another process refuses the token, over Redis: idle, and while a third
//! process revokes 20,000 others a second, eight in a call.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin propagation            # 500 rounds each
//! cargo run --release -p jwt-revoke-benches --bin propagation -- 2000
//! ```
//!
//! From the moment at which `Guard::revoke` is called in one process to the moment at which `Guard::check`
//! says no in the other, which asks every 0.1 ms; both on the monotonic clock of the host.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jwt_revoke_benches::{
    AUDIENCE, ISSUER, entry, is_known, keys,
    measure::{Latencies, Other, monotonic_ns},
    until_ready,
};
use jwt_revoke_core::{
    Guard, Issuer,
    guard::{Checked, Target},
    revocation::SHARDS,
    session::Grant,
    store::{RedisStore, Store as _},
    verify::Algorithm,
};
use jwt_revoke_tests::redis_server::RedisServer;
use tokio::{task::JoinSet, time::MissedTickBehavior};

/// Revocations a second, beside those that are timed.
const RATE: u32 = 20_000;
const GLANCE: Duration = Duration::from_micros(50);
const BETWEEN: Duration = Duration::from_millis(10);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["watch", url] => runtime.block_on(watch(url)),
        ["flood", url] => runtime.block_on(flood(url)),
        [] => runtime.block_on(measure(500)),
        [rounds] => runtime.block_on(measure(rounds.parse().expect("a number of rounds"))),
        _ => {
            eprintln!("usage: propagation [ROUNDS]");
            std::process::exit(2);
        }
    }
}

async fn measure(rounds: u32) {
    let server = RedisServer::start();
    let url = server.url();
    let (guard, issuer, _) = guarded(&url, 0).await;
    let mut watcher = Other::start(&["watch", &url]);
    assert_eq!(watcher.line(), "ready");
    println!("revoke in one process -> refused in another, {rounds} rounds, Redis");
    let idle = probes(&guard, &issuer, &mut watcher, rounds).await;
    println!("  idle:           {idle}   (median under 1 ms, p99 under 10 ms wanted)");
    let mut flood = Other::start(&["flood", &url]);
    assert_eq!(flood.line(), "begun");
    let busy = probes(&guard, &issuer, &mut watcher, rounds).await;
    flood.say("end");
    let (count, rate) = flood.pair();
    watcher.say(&format!("count {count}"));
    let (lost, late_ms) = watcher.pair();
    println!("  {rate} a second: {busy}   (p99 under 100 ms at {RATE} a second wanted)");
    println!(
        "  of {count} other revocations {lost} were lost (0 wanted); all were there {late_ms} ms after the last"
    );
}

/// Revokes one token after the other, and learns when the watcher saw it.
async fn probes(guard: &Guard, issuer: &Issuer, watcher: &mut Other, rounds: u32) -> Latencies {
    let mut latencies = Latencies::new();
    for n in 0..rounds {
        let issued = issuer
            .issue(guard, format!("user-{n}"), &Grant::new())
            .await;
        let issued = issued.expect("a token");
        let access = guard.check(issued.token()).await.expect("a good token");
        watcher.say(issued.token());
        assert_eq!(watcher.line(), "watching");
        tokio::time::sleep(BETWEEN).await;
        let before = monotonic_ns();
        guard.revoke(Target::token(&access)).await.expect("revoked");
        let seen: u64 = watcher.line().parse().expect("an instant");
        latencies.record_ns(seen.saturating_sub(before));
    }
    latencies
}

/// The other process: asks about the token that it is told of until it is refused.
async fn watch(url: &str) {
    let (guard, _, store) = guarded(url, 4_000_000).await;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        if let Some(count) = line.strip_prefix("count ") {
            count_missing(&store, count.parse().expect("a number")).await;
            continue;
        }
        guard.check(&line).await.expect("not revoked yet");
        println!("watching");
        loop {
            match guard.check(&line) {
                Checked::Now(Err(_)) => break,
                // Two of these and a server may share two cores.
                Checked::Now(Ok(_)) => std::thread::sleep(GLANCE),
                // The copy is behind: the server is asked.
                Checked::Later(answer) => {
                    if answer.await.is_err() {
                        break;
                    }
                }
            }
        }
        println!("{}", monotonic_ns());
    }
}

/// How many of the first entries the copy lacks, and how long it lacked any.
async fn count_missing(store: &RedisStore, count: usize) {
    let start = Instant::now();
    let mut missing: Vec<_> = (0..count).map(entry).collect();
    while !missing.is_empty() && start.elapsed() < Duration::from_secs(10) {
        missing.retain(|entry| !is_known(store, entry));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("{} {}", missing.len(), start.elapsed().as_millis());
}

/// The third process: revokes one after the other, many at a time, until it is told to end.
async fn flood(url: &str) {
    let (_, _, store) = guarded(url, 0).await;
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _ = std::io::stdin().lines().next();
        told.store(true, Ordering::Relaxed);
    });
    println!("begun");
    let start = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut calls, mut count) = (JoinSet::new(), 0);
    // Whole rows, so that all numbers below the last are written.
    while !ended.load(Ordering::Relaxed) || count % SHARDS_TOGETHER != 0 {
        tick.tick().await;
        for _ in 0..CALLS_A_TICK {
            // Of one shard each.
            let first =
                count / SHARDS_TOGETHER * SHARDS_TOGETHER + count % SHARDS_TOGETHER / TOGETHER;
            let shards = SHARDS_TOGETHER / TOGETHER;
            let entries: Vec<_> = (0..TOGETHER).map(|n| entry(first + n * shards)).collect();
            let store = store.clone();
            calls.spawn(async move { store.revoke(&entries).await });
            count += TOGETHER;
        }
        // What comes in faster than it is written waits outside.
        while calls.len() > MOST_CALLS {
            calls
                .join_next()
                .await
                .expect("a call")
                .expect("no panic")
                .expect("revoked");
        }
        while let Some(call) = calls.try_join_next() {
            call.expect("no panic").expect("revoked");
        }
    }
    for call in calls.join_all().await {
        call.expect("revoked");
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!("{count} {rate:.0}");
}

/// A guard over the store with a copy of so many entries, which every process has alike.
async fn guarded(url: &str, replica_entries: usize) -> (Guard, Issuer, RedisStore) {
    // A busy machine is to make it slow, and not to end it.
    let builder = RedisStore::builder(url)
        .with_replica_entries(replica_entries)
        .with_check_timeout(PATIENCE)
        .with_write_timeout(PATIENCE);
    let store = builder.with_healing(Duration::ZERO).connect().await;
    let store = store.expect("the server is there");
    let (key, _) = keys(Algorithm::HS256);
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::new(issuer.verifier(), store.clone());
    until_ready(&guard).await;
    (guard, issuer, store)
}

/// How many are revoked in one call, which is one script.
const TOGETHER: usize = 8;
const SHARDS_TOGETHER: usize = TOGETHER * SHARDS as usize;
const TICK: Duration = Duration::from_millis(4);
const CALLS_A_TICK: usize = RATE as usize / 250 / TOGETHER;

const MOST_CALLS: usize = 512;

const PATIENCE: Duration = Duration::from_secs(10);
