//! What confirmation costs: revocations that are acknowledged at once, by a replica, or by the disk; and checks
//! that ask nobody, the server, or a server that can prove itself.
//!
//! ```sh
//! scripts/servers   # Redis 8 and Valkey; JWT_REVOKE_SKIP_SERVERS=1 does without, and so without WAITAOF
//! cargo run --release -p jwt-revoke-benches --bin durable
//! ```
//!
//! Each server has an append-only file, `appendfsync` as named, and a replica on the same host. All take turns, so that
//! what else goes on disturbs them alike; every number is the median of the rounds.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use futures::future::join_all;
use jwt_revoke_benches::{entry, guard_over_async, measure::Latencies, median};
use jwt_revoke_core::{
    Guard,
    guard::Consistency,
    store::{Durability, RedisStore, Store as _},
    verify::Algorithm,
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    redis_server::{Program, RedisServer},
};

const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(1);
const CALLERS: usize = 64;

/// How long a server waits for confirmations: long enough for none to be missing.
const WAIT: Duration = Duration::from_secs(5);

/// A kind of revocation, or of check, and what each round gave.
struct Row<T> {
    name: &'static str,
    what: T,
    rounds: Vec<Round>,
}

struct Round {
    /// How many a second many callers together got.
    rate: f64,
    /// The median of how long each of them waited, in microseconds.
    together: f64,
    /// The same of a caller who is alone.
    alone: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    println!("{ROUNDS} rounds of {SLICE:?}; callers wait on one thread");
    for program in [Program::Redis, Program::Redis8, Program::Valkey] {
        if !program.is_skipped() {
            runtime.block_on(measure(program));
        }
    }
}

async fn measure(program: Program) {
    let args = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
    let primary = RedisServer::start_of(program, &args);
    let replica = RedisServer::start_of(program, &args);
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    until("the replica follows", || async {
        replica.cli(&["ROLE"]).contains("connected")
    })
    .await;
    println!("\n{program:?}");
    revocations(program, &primary).await;
    checks(&primary).await;
}

async fn revocations(program: Program, server: &RedisServer) {
    let replicated = Durability::Replicated {
        replicas: 1,
        timeout: WAIT,
    };
    let fsynced = Durability::Fsynced {
        replicas: 0,
        timeout: WAIT,
    };
    let mut levels = vec![
        ("configured, everysec", Durability::Configured, "everysec"),
        ("configured, always", Durability::Configured, "always"),
        ("replicated, everysec", replicated, "everysec"),
    ];
    if program != Program::Redis {
        levels.push(("fsynced, always", fsynced, "always"));
        levels.push(("fsynced, everysec", fsynced, "everysec"));
    }
    let mut rows = Vec::new();
    for (name, durability, fsync) in levels {
        let store = RedisStore::builder(&server.url())
            .with_replica_entries(0)
            .with_healing(Duration::ZERO)
            .with_write_timeout(PATIENCE)
            .with_durability(durability);
        let store = store.connect().await.expect("the server is there");
        rows.push(row(name, (store, fsync)));
    }
    let next = Cell::new(0);
    let run = async |(store, fsync): &(RedisStore, &str), callers| {
        assert_eq!(server.cli(&["CONFIG", "SET", "appendfsync", fsync]), "OK");
        let revoke = async || {
            let revocation = entry(next.replace(next.get() + 1));
            store.revoke(&[revocation]).await.expect("it is confirmed");
        };
        turn(callers, revoke).await
    };
    measured(&mut rows, run).await;
    tell("revocations", &rows);
}

async fn checks(server: &RedisServer) {
    let store = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        .with_check_timeout(PATIENCE);
    let store = store.connect().await.expect("the server is there");
    let (guard, _, token) = guard_over_async(Algorithm::HS256, store).await;
    let mut rows = vec![
        row("strict", guard.strict()),
        row("fenced", guard.fenced()),
        row("mirrored", guard.with_consistency(Consistency::default())),
    ];
    let check = async |guard: &Guard| drop(guard.check(&token).await.expect("a good token"));
    let run = async |guard: &Guard, callers| turn(callers, async || check(guard).await).await;
    measured(&mut rows, run).await;
    tell("checks", &rows);
}

fn row<T>(name: &'static str, what: T) -> Row<T> {
    let rounds = Vec::new();
    Row { name, what, rounds }
}

async fn measured<T>(rows: &mut [Row<T>], run: impl AsyncFn(&T, usize) -> (f64, f64)) {
    for _ in 0..ROUNDS {
        for Row { what, rounds, .. } in &mut *rows {
            let (rate, together) = run(what, CALLERS).await;
            let (_, alone) = run(what, 1).await;
            rounds.push(Round {
                rate,
                together,
                alone,
            });
        }
    }
}

/// So many callers, each of whom calls again when it was answered: how many answers a second there were, and the
/// median of how long each took, in microseconds.
async fn turn(callers: usize, call: impl AsyncFn()) -> (f64, f64) {
    let latencies = RefCell::new(Latencies::new());
    let start = Instant::now();
    let caller = async || {
        let mut yielded = start;
        while start.elapsed() < SLICE {
            let before = Instant::now();
            call().await;
            latencies.borrow_mut().record(before.elapsed());
            // What is answered at once would leave the others no moment.
            if yielded.elapsed() > Duration::from_millis(1) {
                tokio::task::yield_now().await;
                yielded = Instant::now();
            }
        }
    };
    join_all((0..callers).map(|_| caller())).await;
    let latencies = latencies.into_inner();
    let rate = latencies.count() as f64 / start.elapsed().as_secs_f64();
    (rate, latencies.percentile(50.0).as_secs_f64() * 1e6)
}

/// The medians, and the rates as shares of the first row's in the same round.
fn tell<T>(what: &str, rows: &[Row<T>]) {
    println!("| {what} | {CALLERS} callers, a second | of the first | each, us | one alone, us |");
    println!("| --- | --- | --- | --- | --- |");
    for Row { name, rounds, .. } in rows {
        let of = |key: fn(&Round) -> f64| median(rounds.iter().map(key));
        let pairs = rounds.iter().zip(&rows[0].rounds);
        let share = median(pairs.map(|(own, first)| own.rate / first.rate));
        println!(
            "| {name} | {:.0} | {share:.3} | {:.1} | {:.1} |",
            of(|round| round.rate),
            of(|round| round.together),
            of(|round| round.alone),
        );
    }
}
