//! Restarts.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    Program, Service,
    oauth::{post, text},
    process::{ALICE, again},
};
use crate::{raw_http::RawResponse, redis_server::RedisServer};

/// The embedded store syncs before it acknowledges, so any moment will do.
pub async fn i6_a_logout_that_was_acknowledged_survives_kill_9(program: &Program) {
    let mut service = program.start(&[]);
    let kept = service.token(ALICE).await;
    let mut out = Vec::new();
    for round in 0..20 {
        let token = service.token(ALICE).await;
        // Good at once, also after a crash, when the store's clock goes on ahead of the host's.
        assert_eq!(service.decision(&token).await, 200, "{round}");
        service.log_out(&token).await;
        service.kill();
        out.push(token);
        service = program.start(&[]);
        for token in &out {
            assert_eq!(service.decision(token).await, 401, "{round}");
        }
        assert_eq!(service.decision(&kept).await, 200, "{round}");
    }
}

pub async fn i6_a_clean_restart_keeps_sessions_and_logouts(program: &Program) {
    let service = program.start(&[]);
    let (kept, out) = (service.token(ALICE).await, service.token(ALICE).await);
    service.log_out(&out).await;
    service.terminate();
    assert!(service.ended().success());
    let service = program.start(&[]);
    assert_eq!(service.decision(&kept).await, 200);
    assert_eq!(service.decision(&out).await, 401);
}

/// Lifetimes of a month and a day, and of a week and ten minutes.
const LONG: [(&str, &str); 2] = [
    ("JWT_REVOKE_REFRESH_TTL", "2592000"),
    ("JWT_REVOKE_ACCESS_TTL", "86400"),
];
const SHORT: [(&str, &str); 2] = [
    ("JWT_REVOKE_REFRESH_TTL", "604800"),
    ("JWT_REVOKE_ACCESS_TTL", "600"),
];

pub async fn s21_a_restart_with_other_lifetimes_keeps_every_session(program: &Program) {
    for (before, after) in [(LONG, SHORT), (SHORT, LONG)] {
        let service = program.start(&before);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(login(program, &service).await);
        }
        service.terminate();
        assert!(service.ended().success());
        let service = program.start(&after);
        for pair in &held {
            assert_eq!(service.decision(&pair.access).await, 200);
        }
        let next = refreshed(program, &service, &held[0])
            .await
            .expect("a pair");
        assert_eq!(service.decision(&next.access).await, 200);
        ends(&service, &service, &held[1..], &next).await;
    }
}

pub async fn s22_processes_of_a_rolling_deploy_end_each_others_sessions(program: &Program) {
    let redis = RedisServer::start();
    let url = redis.url();
    let store = [
        ("JWT_REVOKE_STORE", &*url),
        ("JWT_REVOKE_CONSISTENCY", "strict"),
    ];
    let old = program.start(&[store, LONG].concat());
    // It comes up beside the other, which has served for a while.
    let early = login(program, &old).await;
    let new = program.start(&[store, SHORT].concat());
    for (here, there) in [(&old, &new), (&new, &old)] {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(login(program, here).await);
        }
        let next = refreshed(program, there, &held[0]).await.expect("a pair");
        ends(there, here, &held[1..], &next).await;
    }
    assert_eq!(new.decision(&early.access).await, 200);
    assert!(refreshed(program, &new, &early).await.is_some());
}

/// Logs out and revokes at `here` what was issued elsewhere, and asks both.
async fn ends(here: &Service<'_>, there: &Service<'_>, held: &[Pair], kept: &Pair) {
    let [by_logout, by_refresh, by_access] = held else {
        unreachable!("there are three");
    };
    here.log_out(&by_logout.access).await;
    for token in [&by_refresh.refresh, &by_access.access] {
        let revoked = post(here, "/auth/revoke", &[("token", token)]).await;
        assert_eq!((revoked.status, revoked.body.as_str()), (200, ""));
    }
    for service in [here, there] {
        for pair in held {
            assert_eq!(service.decision(&pair.access).await, 401);
        }
        for pair in [by_logout, by_refresh] {
            let refused = exchange(service, pair).await;
            assert_eq!(refused.json()["error"], "invalid_grant", "{refused:?}");
        }
        assert_eq!(service.decision(&kept.access).await, 200);
    }
}

struct Pair {
    access: String,
    refresh: String,
}

impl Pair {
    fn of(program: &Program, body: &Value) -> Self {
        let [access, refresh] = ["access_token", "refresh_token"].map(|name| text(body, name));
        for token in [&access, &refresh] {
            program.keep_secret(token.rsplit('.').next().unwrap());
        }
        Self { access, refresh }
    }
}

async fn login(program: &Program, service: &Service<'_>) -> Pair {
    let response = again(|| service.login(ALICE)).await;
    assert_eq!(response.status, 200, "{response:?}");
    Pair::of(program, &response.json())
}

async fn exchange(service: &Service<'_>, pair: &Pair) -> RawResponse {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*pair.refresh),
    ];
    post(service, "/auth/token", &form).await
}

async fn refreshed(program: &Program, service: &Service<'_>, pair: &Pair) -> Option<Pair> {
    let response = exchange(service, pair).await;
    (response.status == 200).then(|| Pair::of(program, &response.json()))
}

/// What a backup has forgotten is refused again, and new logins work.
async fn ends_what_a_backup_forgot(service: &Service<'_>, before: &[String]) {
    for token in before {
        assert_eq!(service.decision(token).await, 401);
    }
    let anew = service.token(ALICE).await;
    assert_eq!(service.decision(&anew).await, 200);
}

pub async fn r75_an_older_file_does_not_open_by_mistake_and_is_made_safe(program: &Program) {
    let data = program.folder().join("jwt-revoke-data");
    let (file, backup) = (data.join("revocations.redb"), data.join("backup"));
    let service = program.start(&[]);
    let (kept, out) = (service.token(ALICE).await, service.token(ALICE).await);
    service.terminate();
    assert!(service.ended().success());
    fs::copy(&file, &backup).unwrap();
    let service = program.start(&[]);
    service.log_out(&out).await;
    service.terminate();
    assert!(service.ended().success());

    fs::copy(&backup, &file).unwrap();
    let failed = program.fail(&[]);
    failed.assert_names(&["older copy", "revocations.redb", "docs/backup.md"]);
    let service = program.start(&[("JWT_REVOKE_RESTORED", "1")]);
    ends_what_a_backup_forgot(&service, &[kept, out]).await;
    service.terminate();
    assert!(service.ended().success());
    // Once is enough.
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    assert_eq!(service.decision(&token).await, 200);
}

pub async fn r75_an_older_snapshot_of_redis_is_made_safe(program: &Program) {
    let mut redis = RedisServer::start();
    let url = redis.url();
    let settings = [("JWT_REVOKE_STORE", url.as_str())];
    let service = program.start(&settings);
    let (kept, out) = (service.token(ALICE).await, service.token(ALICE).await);
    redis.cli(&["SAVE"]);
    let snapshot = fs::read(dump(redis.folder())).unwrap();
    service.log_out(&out).await;
    service.terminate();
    assert!(service.ended().success());

    redis.kill();
    fs::write(dump(redis.folder()), snapshot).unwrap();
    redis.run();
    let restored = [settings[0], ("JWT_REVOKE_RESTORED", "1")];
    let service = program.start(&restored);
    ends_what_a_backup_forgot(&service, &[kept.clone(), out.clone()]).await;
    // And in the processes that start afterwards.
    let another = program.start(&settings);
    ends_what_a_backup_forgot(&another, &[kept, out]).await;
}

fn dump(folder: &Path) -> std::path::PathBuf {
    folder.join("dump.rdb")
}
