//! The copy of a store that a process keeps: how long it takes to load, what it takes in memory, and how long
//! a check waits while it grows and is purged.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin copy                 # 1 M entries
//! cargo run --release -p jwt-revoke-benches --bin copy -- 10000000     # minutes, and 3 GB for the server
//! cargo run --release -p jwt-revoke-benches --bin copy -- 0            # growth and purge only
//! ```

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use jwt_revoke_benches::{
    block_on, entry, fill, fill_redis, guard_over, is_known,
    measure::{Latencies, Other, resident_bytes},
};
use jwt_revoke_core::{
    Clock as _, FakeClock, Guard, SystemClock,
    guard::Checked,
    store::{EmbeddedStore, Health, RedisStore, Store as _},
    verify::Algorithm,
};
use jwt_revoke_tests::redis_server::RedisServer;
use tokio::runtime::Runtime;

const MILLION: usize = 1_000_000;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let runtime = || Runtime::new().expect("a runtime can be made");
    match args[..] {
        ["load", url, entries] => runtime().block_on(load(url, number(entries))),
        [] => {
            loading(&runtime(), MILLION);
            growing_and_purging();
        }
        ["0"] => growing_and_purging(),
        [entries] => loading(&runtime(), number(entries)),
        _ => {
            eprintln!("usage: copy [ENTRIES]");
            std::process::exit(2);
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number of entries")
}

/// Fills a Redis, and lets processes that know nothing yet load it.
fn loading(runtime: &Runtime, entries: usize) {
    const ROUNDS: usize = 5;
    let server = RedisServer::start();
    let start = Instant::now();
    runtime.block_on(fill_redis(&server.url(), entries));
    let rate = entries as f64 / start.elapsed().as_secs_f64();
    println!("a Redis with {entries} entries, written at {rate:.0} a second");
    for _ in 0..if entries > MILLION { 1 } else { ROUNDS } {
        let mut other = Other::start(&["load", &server.url(), &entries.to_string()]);
        println!("  {}", other.line());
    }
    if entries == MILLION {
        println!("  (loaded in under 5 s, at most 80 B an entry wanted)");
    }
}

/// What a process does that has just started.
async fn load(url: &str, entries: usize) {
    let before = resident_bytes();
    let start = Instant::now();
    let builder = RedisStore::builder(url).with_replica_entries(entries + MILLION);
    let store = builder.connect().await.expect("the server is there");
    let connected = start.elapsed();
    while store.health() != Health::Fresh {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let loaded = start.elapsed();
    let bytes = resident_bytes() - before;
    let missing = (0..entries)
        .map(entry)
        .filter(|entry| !is_known(&store, entry));
    let missing = missing.count();
    assert_eq!(missing, 0, "entries were not loaded");
    println!(
        "loaded in {loaded:.2?} ({connected:.2?} of it to connect), {:.1} B an entry, all there",
        bytes as f64 / entries as f64
    );
}

/// Checks one after the other while a million entries come in, and while they are forgotten.
///
/// The table is the one that the copy of a Redis has, but here all of it is behind one lock.
fn growing_and_purging() {
    let clock = Arc::new(FakeClock::new(SystemClock::new().now()));
    let store = EmbeddedStore::builder()
        .with_clock(clock.clone())
        .in_memory();
    let (guard, _, token) = guard_over(Algorithm::HS256, store.clone());
    println!(
        "checks, one after the other, of one token; and the machine alone: as much work without a lock"
    );
    during("nothing else", &guard, &token, || {
        thread::sleep(Duration::from_secs(2));
    });
    during("growth to 1 M", &guard, &token, || {
        block_on(fill(&store, 0..MILLION));
    });
    // Guards have a clock of their own, so the token lives.
    clock.advance(Duration::from_secs(3 * 24 * 60 * 60));
    during("purge of 1 M", &guard, &token, || {
        let forgotten = block_on(store.purge()).expect("the store works");
        assert!(forgotten >= MILLION, "{forgotten} entries were forgotten");
    });
    println!("  (p99.9 of no more than 1 ms wanted)");
}

fn during(what: &str, guard: &Guard, token: &str, work: impl FnOnce() + Send) {
    let ended = AtomicBool::new(false);
    let (mut checks, mut alone) = (Latencies::new(), Latencies::new());
    let took = thread::scope(|scope| {
        let working = scope.spawn(|| {
            let start = Instant::now();
            work();
            ended.store(true, Ordering::Relaxed);
            start.elapsed()
        });
        while !ended.load(Ordering::Relaxed) {
            let start = Instant::now();
            match guard.check(black_box(token)) {
                Checked::Now(decision) => drop(black_box(decision.expect("a good token"))),
                Checked::Later(_) => unreachable!("the store answers at once"),
            }
            checks.record(start.elapsed());
            let start = Instant::now();
            black_box(
                token
                    .bytes()
                    .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte)),
            );
            alone.record(start.elapsed());
        }
        working.join().expect("the work is done")
    });
    println!("  {what:<14} ({took:.1?})");
    let bound = Duration::from_millis(1);
    for (name, latencies) in [("checks", &checks), ("machine alone", &alone)] {
        println!(
            "    {name:<14} {latencies}   {} of {} above 1 ms",
            latencies.above(bound),
            latencies.count()
        );
    }
}
