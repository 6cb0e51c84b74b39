//! What a check costs whose token is in the cache of verified tokens and whose revocations are in this
//! process: the embedded store, and a copy of a Redis.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin warm             # 1 M entries, both stores
//! cargo run --release -p jwt-revoke-benches --bin warm -- memory:  # no server needed
//! ```
//!
//! *Text at hand*: the token was just written to memory, as a request that came over a socket was. *Text
//! anywhere*: it lies where it was put long ago, and reading it is part of the time.

use std::{hint::black_box, time::Instant};

use jwt_revoke_benches::{Shuffled, fill_redis, median, store_with, warm_guard, warm_guard_async};
use jwt_revoke_core::{Guard, guard::Checked, store::RedisStore, verify::Algorithm};
use jwt_revoke_tests::redis_server::RedisServer;
use tokio::runtime::Runtime;

const ENTRIES: usize = 1_000_000;
/// How many checks are timed at a time: their texts fit into the cache of a core.
const BATCH: usize = 32;
const BATCHES: usize = 256;
const ROUNDS: usize = 61;

fn main() {
    let asked = std::env::args().nth(1);
    println!("a check of a token that is cached, over {ENTRIES} entries in this process, ES256;");
    println!("medians of {ROUNDS} rounds of {} checks", BATCH * BATCHES);
    let wanted = |store| asked.as_deref().is_none_or(|asked| asked == store);
    let counts = [(1, "400 ns"), (20_000, "1,500 ns")];
    if wanted("memory:") {
        for (tokens, most) in counts {
            let (guard, tokens) = warm_guard(Algorithm::ES256, store_with(ENTRIES), tokens);
            measure("memory:", &guard, &tokens, most);
        }
    }
    if wanted("redis:") {
        let runtime = Runtime::new().expect("a runtime can be made");
        let server = RedisServer::start();
        runtime.block_on(fill_redis(&server.url(), ENTRIES));
        for (tokens, most) in counts {
            let guarded = runtime.block_on(async {
                let store = RedisStore::connect(&server.url()).await;
                let store = store.expect("the server is there");
                warm_guard_async(Algorithm::ES256, store, tokens).await
            });
            measure("redis:", &guarded.0, &guarded.1, most);
        }
    }
}

fn measure(store: &str, guard: &Guard, tokens: &[String], most: &str) {
    let mut order = Shuffled::new(tokens);
    let before = guard.cache_stats();
    let (mut near, mut far, mut later) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        near.push(round(guard, &mut order, true, &mut later));
        far.push(round(guard, &mut order, false, &mut later));
    }
    let after = guard.cache_stats();
    let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
    println!(
        "{store:<8}{:>6} tokens   text at hand {:>5.0} ns   text anywhere {:>5.0} ns   (at most {most} wanted)",
        tokens.len(),
        median(near),
        median(far),
    );
    let found = 100.0 * hits as f64 / (hits + misses) as f64;
    let kept = after.bytes / after.entries as u64;
    println!("        {found:.1}% found in the cache, {kept} B a token, {later} not answered here");
}

/// Nanoseconds a check.
fn round(guard: &Guard, order: &mut Shuffled<'_>, at_hand: bool, later: &mut u32) -> f64 {
    let mut texts = vec![String::with_capacity(1024); BATCH];
    let mut elapsed = 0.0;
    for _ in 0..BATCHES {
        let picked: Vec<_> = texts
            .iter_mut()
            .map(|text| {
                let token = order.pick();
                if !at_hand {
                    return token;
                }
                text.clear();
                text.push_str(token);
                text.as_str()
            })
            .collect();
        let start = Instant::now();
        for token in picked {
            match guard.check(black_box(token)) {
                Checked::Now(decision) => drop(black_box(decision.expect("a good token"))),
                // On a busy machine the copy may be behind for a moment.
                Checked::Later(_) => *later += 1,
            }
        }
        elapsed += start.elapsed().as_secs_f64();
    }
    elapsed * 1e9 / (BATCH * BATCHES) as f64
}
