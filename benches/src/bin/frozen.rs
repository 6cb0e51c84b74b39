//! A route behind the layer while its Redis is frozen and thaws: p99 by tenths of a second.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin frozen
//! ```
//!
//! Requests of eight callers, in process, in `Mirror` with the default bound of a second. What is wanted: p99
//! as before until the copy is too old; then one timeout of the store; then answers at once.

use std::time::{Duration, Instant};

use axum::{Router, body::Body, extract::Request, routing::get};
use futures::future::join_all;
use jwt_revoke_benches::{guard_over_async, measure::Latencies};
use jwt_revoke_core::{defaults, store::RedisStore, verify::Algorithm};
use jwt_revoke_tests::redis_server::RedisServer;
use tower_service::Service as _;

const CALLERS: usize = 8;
const BETWEEN: Duration = Duration::from_millis(1);
const BUCKET: Duration = Duration::from_millis(100);
const FREEZE: Duration = Duration::from_secs(1);
const THAW: Duration = Duration::from_secs(4);
const END: Duration = Duration::from_secs(6);

/// A request: when it was sent, how long it took, and the status of the answer.
type Seen = (Duration, Duration, u16);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let seen = runtime.block_on(run());
    println!(
        "{CALLERS} callers, one request a {BETWEEN:?} each; a copy may be {:?} old, a check waits {:?}",
        defaults::MAX_STALENESS,
        defaults::CHECK_TIMEOUT
    );
    println!("     ms   requests      200    503        p50        p99    longest");
    let buckets = END.as_millis() / BUCKET.as_millis();
    for number in 0..u32::try_from(buckets).expect("a small number") {
        let from = BUCKET * number;
        let label = match from {
            FREEZE => "   <- frozen",
            THAW => "   <- thawed",
            _ => "",
        };
        let within = seen
            .iter()
            .filter(|(at, ..)| (from..from + BUCKET).contains(at));
        println!("{:>7} {}{label}", from.as_millis(), line(within));
    }
    let slow = |seen: &&Seen| seen.1 > defaults::CHECK_TIMEOUT / 2;
    let waited = seen.iter().filter(slow).count();
    println!(
        "{waited} of {} requests waited for the store's bound or longer than half of it",
        seen.len()
    );
}

fn line<'a>(seen: impl Iterator<Item = &'a Seen>) -> String {
    let mut latencies = Latencies::new();
    let (mut good, mut unknown) = (0, 0);
    for (_, took, status) in seen {
        latencies.record(*took);
        match status {
            200 => good += 1,
            503 => unknown += 1,
            other => panic!("an answer {other}"),
        }
    }
    let at = |percent| format!("{:.1?}", latencies.percentile(percent));
    format!(
        "{:>10} {good:>8} {unknown:>6} {:>10} {:>10} {:>10}",
        latencies.count(),
        at(50.0),
        at(99.0),
        at(100.0)
    )
}

async fn run() -> Vec<Seen> {
    let server = RedisServer::start();
    let builder = RedisStore::builder(&server.url()).with_healing(Duration::ZERO);
    let store = builder.connect().await.expect("the server is there");
    let (guard, _, token) = guard_over_async(Algorithm::HS256, store).await;
    let layer = tower_jwt_revoke::RevocationLayer::new(guard);
    let app = Router::new()
        .route("/", get(async || "ok"))
        .route_layer(layer);
    let start = Instant::now();
    let fault = async {
        tokio::time::sleep(FREEZE).await;
        server.freeze();
        tokio::time::sleep(THAW - FREEZE).await;
        server.resume();
    };
    let callers = (0..CALLERS).map(|_| call(app.clone(), &token, start));
    let (seen, ()) = futures::future::join(join_all(callers), fault).await;
    seen.concat()
}

async fn call(mut app: Router, token: &str, start: Instant) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut tick = tokio::time::interval(BETWEEN);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while start.elapsed() < END {
        tick.tick().await;
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).expect("a request");
        let at = start.elapsed();
        let response = app.call(request).await.expect("infallible");
        seen.push((at, start.elapsed() - at, response.status().as_u16()));
    }
    seen
}
