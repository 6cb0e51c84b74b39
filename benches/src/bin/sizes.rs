//! What revocations and sessions take in a server, by its own account.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin sizes
//! ```
//!
//! On the system's Redis, and on Redis 8 and Valkey 9 where `scripts/servers` has installed them: what
//! `used_memory` grows by, and `MEMORY USAGE` of the keys.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jwt_revoke_benches::{AUDIENCE, ISSUER, until_ready};
use jwt_revoke_core::{
    Guard, Issuer,
    guard::Target,
    session::{Grant, Sessions},
    store::RedisStore,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::redis_server::{Program, RedisServer};

const REVOCATIONS: usize = 100_000;
const SESSIONS: usize = 5_000;

#[tokio::main]
async fn main() {
    println!(
        "bytes; {REVOCATIONS} revocations of users, then {SESSIONS} sessions of as many users"
    );
    for program in [Program::Redis, Program::Redis8, Program::Valkey] {
        if !program.is_skipped() {
            measure(program).await;
        }
    }
}

async fn measure(program: Program) {
    let server = RedisServer::start_of(program, &[]);
    let builder = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        .with_write_timeout(Duration::from_secs(60));
    let store = builder.connect().await.expect("the server is there");
    let key = SigningKey::generate(Algorithm::HS256).expect("a key can be made");
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::new(issuer.verifier(), store);
    until_ready(&guard).await;

    let before = used(&server);
    let users = stream::iter(0..REVOCATIONS);
    let revoked = users.map(|n| guard.revoke(Target::subject(format!("banned-{n}"))));
    let written = revoked
        .buffer_unordered(256)
        .all(async |revoked| revoked.is_ok());
    assert!(written.await, "a revocation was refused");
    let revocation = (used(&server) - before) / REVOCATIONS as f64;

    let before = used(&server);
    let sessions = Sessions::new(&guard, issuer);
    let users = stream::iter(0..SESSIONS);
    let sessions = &sessions;
    let logins = users.map(async |n| {
        let attempt = sessions.begin().await?;
        let user = format!("user-{n}");
        sessions.login(attempt, user, &Grant::new()).await
    });
    let opened = logins
        .buffer_unordered(256)
        .all(async |opened| opened.is_ok());
    assert!(opened.await, "a login was refused");
    let session = (used(&server) - before) / SESSIONS as f64;

    let each = |kind: &str| {
        let sizes = keys(&server, kind).map(|key| usage(&server, &key));
        let sizes: Vec<_> = sizes.take(1_000).collect();
        let bounds = |by: fn(f64, f64) -> f64| sizes.iter().copied().reduce(by).unwrap_or(f64::NAN);
        format!("{:.0} to {:.0}", bounds(f64::min), bounds(f64::max))
    };
    let item = |kind: &str| {
        let shards: Vec<_> = keys(&server, kind).collect();
        let bytes: f64 = shards.iter().map(|key| usage(&server, key)).sum();
        let items = shards.iter().map(|key| number(&server.cli(&["XLEN", key])));
        bytes / items.sum::<f64>()
    };
    println!("{program:?}");
    println!("  a revocation, all of it                 {revocation:.0}");
    println!(
        "    its key                               {}",
        each("deny:*")
    );
    println!(
        "    its place in the log                  {:.0}",
        item("log")
    );
    println!(
        "    its place in the audit stream         {:.0}",
        item("audit")
    );
    println!("  a session, with its place in the index  {session:.0}");
    println!(
        "    its record                            {}",
        each("session:*")
    );
    println!(
        "    its user's index                      {}",
        each("user:*")
    );
}

/// `used_memory`.
fn used(server: &RedisServer) -> f64 {
    let info = server.cli(&["INFO", "memory"]);
    let mut lines = info.lines();
    let used = lines.find_map(|line| line.trim().strip_prefix("used_memory:"));
    number(used.expect("a server tells what it uses"))
}

fn usage(server: &RedisServer, key: &str) -> f64 {
    number(&server.cli(&["MEMORY", "USAGE", key, "SAMPLES", "0"]))
}

/// The keys of a kind, in all shards.
fn keys(server: &RedisServer, kind: &str) -> impl Iterator<Item = String> {
    let found = server.cli(&["KEYS", &format!("jr:{{*}}:{kind}")]);
    let keys: Vec<_> = found.lines().map(str::to_owned).collect();
    keys.into_iter()
}

fn number(text: &str) -> f64 {
    text.trim().parse().expect("a number")
}
