//! Redis goes away and comes back.

use std::time::{Duration, Instant};

use jwt_revoke_core::defaults;

use super::{
    Program, Service,
    process::{ALICE, BOB, again},
};
use crate::{
    raw_http::{RawRequest, RawResponse},
    redis_server::RedisServer,
};

/// Requests that are sent one after the other while the store is away.
const REQUESTS: usize = 50;

/// Far more than all of them take when each waits no longer than its bound, which is a fraction of a
/// second, and far less than when the store is waited for.
const ALL_OF_THEM: Duration = Duration::from_secs(60);

/// Each check asks Redis.
const STRICT: (&str, &str) = ("JWT_REVOKE_CONSISTENCY", "strict");

pub async fn r1_a_killed_redis_is_503_until_it_is_back_and_the_logged_out_stay_out(
    program: &Program,
) {
    let mut redis = RedisServer::start();
    let settings = [("JWT_REVOKE_STORE", &*redis.url()), STRICT];
    let fleet = [program.start(&settings), program.start(&settings)];
    let (kept, out) = (fleet[0].token(BOB).await, fleet[0].token(ALICE).await);
    let leaving = fleet[0].token(BOB).await;
    fleet[0].log_out(&out).await;
    assert_eq!(fleet[1].decision(&out).await, 401);

    let start = Instant::now();
    redis.kill();
    for service in &fleet {
        is_away(service, &kept, &leaving).await;
        // Whoever logged it out remembers it; for the other it is unknown.
        for _ in 0..REQUESTS {
            let status = service.me(&out).await.status;
            assert!(matches!(status, 401 | 503), "{status}");
        }
    }

    // It comes back with nothing: the one who knows has to say so before the other believes it.
    redis.run();
    for service in &fleet {
        assert_told_now_and_then(service, start);
        service.until(&out, 401, &[200]).await;
        service.until(&kept, 200, &[401]).await;
        assert_eq!(service.decision(&out).await, 401);
    }
    for service in &fleet {
        service.until_logged("the store answers again").await;
    }
    is_back(&fleet[0]).await;
}

pub async fn r1_a_frozen_redis_is_503_until_it_goes_on(program: &Program) {
    let redis = RedisServer::start();
    let service = program.start(&[("JWT_REVOKE_STORE", &*redis.url()), STRICT]);
    let (kept, out) = (service.token(BOB).await, service.token(ALICE).await);
    let leaving = service.token(BOB).await;
    service.log_out(&out).await;

    redis.freeze();
    is_away(&service, &kept, &leaving).await;
    assert_ne!(service.me(&out).await.status, 200);
    redis.resume();
    service.until(&kept, 200, &[401]).await;
    assert_eq!(service.decision(&out).await, 401);
    is_back(&service).await;
}

pub async fn r4_with_copies_the_logged_out_stay_out_while_redis_is_gone_and_when_it_comes_back_empty(
    program: &Program,
) {
    let mut redis = RedisServer::start();
    let settings = [
        ("JWT_REVOKE_STORE", &*redis.url()),
        ("JWT_REVOKE_CONSISTENCY", "mirror:1000"),
    ];
    let fleet = [program.start(&settings), program.start(&settings)];
    let (kept, out) = (fleet[0].token(BOB).await, fleet[0].token(ALICE).await);
    fleet[0].log_out(&out).await;
    assert_eq!(
        fleet[0].decision(&out).await,
        401,
        "it reads its own writes"
    );
    fleet[1].until(&out, 401, &[]).await;

    redis.kill();
    for service in &fleet {
        // Good tokens are good for as long as the copy may be old, and then unknown.
        service.until(&kept, 503, &[401]).await;
        // What is known to be revoked stays so.
        for _ in 0..REQUESTS {
            assert_eq!(service.me(&out).await.status, 401);
        }
        assert_unavailable(&service.get("/readyz").await);
    }
    // The one that did the logout is gone; the other has only read of it.
    let [first, second] = fleet;
    first.kill();
    redis.run();
    second.until(&kept, 200, &[401]).await;
    assert_eq!(second.decision(&out).await, 401);
    let third = program.start(&settings);
    assert_eq!(third.decision(&out).await, 401);
    assert_eq!(third.decision(&kept).await, 200);
}

pub async fn r4_what_redis_kept_is_known_to_a_program_that_starts_later(program: &Program) {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let url = redis.url();
    let settings = [("JWT_REVOKE_STORE", &*url)];
    let service = program.start(&settings);
    let (kept, out) = (service.token(BOB).await, service.token(ALICE).await);
    service.log_out(&out).await;
    service.kill();
    redis.kill();
    redis.run();
    let service = program.start(&settings);
    assert_eq!(service.decision(&out).await, 401);
    assert_eq!(service.decision(&kept).await, 200);
}

pub async fn an_outage_that_is_allowed_lets_good_tokens_through_and_no_others(program: &Program) {
    let mut redis = RedisServer::start();
    let service = program.start(&[
        ("JWT_REVOKE_STORE", &*redis.url()),
        ("JWT_REVOKE_OUTAGE", "allow"),
        STRICT,
    ]);
    let (kept, out) = (service.token(BOB).await, service.token(ALICE).await);
    service.log_out(&out).await;
    redis.kill();
    for _ in 0..REQUESTS {
        for (token, status) in [(&*kept, 200), (&out, 401), ("a.b.c", 401)] {
            assert_eq!(service.me(token).await.status, status);
        }
    }
    // Each of them is told.
    let told = service.log().matches("let through without knowing").count();
    assert!(told >= REQUESTS, "{told}");
    // What cannot be written is not said to be.
    assert_unavailable(&service.logout(&kept).await);
}

/// The store is away: nobody is let in, nobody is told to throw a good token away, nobody waits.
///
/// A logout that was not confirmed may happen all the same, once the store goes on: `leaving` is the
/// token that it is tried with.
async fn is_away(service: &Service<'_>, token: &str, leaving: &str) {
    let start = Instant::now();
    for _ in 0..REQUESTS {
        assert_unavailable(&service.me(token).await);
    }
    assert!(start.elapsed() < ALL_OF_THEM, "{:?}", start.elapsed());
    assert_unavailable(&service.logout(leaving).await);
    assert_unavailable(&service.login(ALICE).await);
    let ready = service.get("/readyz").await;
    assert_unavailable(&ready);
    // Operators are told which store, and clients are not. Nothing of it is an error of the program.
    assert!(!ready.body.contains("redis"), "{ready:?}");
    assert!(!ready.body.contains("127.0.0.1"), "{ready:?}");
    let log = service.log();
    let mut told = log.lines().filter(|line| line.contains("not ready"));
    assert!(told.any(|line| line.contains("redis")), "{log}");
    let mistakes = log
        .lines()
        .filter(|line| line.contains("ERROR") && !line.contains("TRACE"));
    assert_eq!(mistakes.collect::<Vec<_>>(), Vec::<&str>::new());
    for path in ["/healthz", "/public"] {
        assert_eq!(service.get(path).await.status, 200, "{path}");
    }
    // A bad token stays bad, and a request without one too.
    assert_eq!(service.me("a.b.c").await.status, 401);
    assert_eq!(service.send(RawRequest::get("/me")).await.status, 401);
}

/// An outage that began at `start` is told of, and not once for each request.
fn assert_told_now_and_then(service: &Service<'_>, start: Instant) {
    let log = service.log();
    let told = log.lines().filter(|line| line.contains("WARN"));
    let told = told.filter(|line| line.contains("the store fails")).count();
    let interval = defaults::OUTAGE_LOG_INTERVAL.as_secs_f64();
    let most = 2 + (start.elapsed().as_secs_f64() / interval) as usize;
    assert!((1..=most).contains(&told), "{told} of at most {most}");
}

async fn is_back(service: &Service<'_>) {
    let token = service.token(ALICE).await;
    assert_eq!(service.decision(&token).await, 200);
    service.log_out(&token).await;
    assert_eq!(service.decision(&token).await, 401);
    assert_eq!(again(|| service.get("/readyz")).await.status, 200);
}

#[track_caller]
fn assert_unavailable(response: &RawResponse) {
    assert_eq!(response.status, 503, "{response:?}");
    let retry = response.header("retry-after").unwrap();
    assert!(retry.parse::<u32>().is_ok(), "{retry}");
    assert_eq!(response.json()["error"], "temporarily_unavailable");
}
