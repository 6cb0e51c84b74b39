//! What keeps a program from coming up: it says what, why, and what to do. It never comes up on
//! another store than the one it was told.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use jwt_revoke_core::defaults;

use super::{
    Program,
    process::{ALICE, again},
};
use crate::{
    proxy::{Fault, Proxy},
    redis_server::{RedisServer, free_port},
};

const PASSWORD: &str = "pAsSw0rd-in-the-url";

pub async fn r1_a_redis_that_is_down_at_the_start_ends_the_program(program: &Program) {
    program.keep_secret(PASSWORD);
    let at = format!("127.0.0.1:{}", free_port());
    let url = format!("redis://operator:{PASSWORD}@{at}");
    let failed = program.fail(&[("JWT_REVOKE_STORE", &url)]);
    failed.assert_names(&[&at, "refused", "start it, or correct the address"]);
    // Before it gives up, it says what it waits for.
    let mut told = failed.stderr.lines().filter(|line| line.contains("INFO"));
    assert!(told.any(|line| line.contains("waiting for the store") && line.contains(&at)));
    // Nothing beside the key was made, and no other store.
    assert!(
        !program
            .folder()
            .join("jwt-revoke-data/revocations.redb")
            .exists()
    );
}

pub async fn r1_a_redis_that_is_slow_at_the_start_does_not_end_the_program(program: &Program) {
    let redis = RedisServer::start();
    let proxy = Proxy::start(redis.port()).await;
    // Twice as long as a check waits.
    proxy.set(Fault::Delay(2 * defaults::CHECK_TIMEOUT));
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let service = program.start(&[("JWT_REVOKE_STORE", &url)]);
    assert_eq!(service.get("/readyz").await.status, 503);
    assert_eq!(service.get("/healthz").await.status, 200);
    proxy.set(Fault::None);
    let token = service.token(ALICE).await;
    assert_eq!(service.decision(&token).await, 200);
    assert_eq!(again(|| service.get("/readyz")).await.status, 200);
}

pub async fn r2_a_redis_that_refuses_writes_at_the_start_is_waited_for(program: &Program) {
    let memory = |bytes| ["CONFIG", "SET", "maxmemory", bytes];
    let replicas = |number| ["CONFIG", "SET", "min-replicas-to-write", number];
    let refusals = [
        (memory("1").to_vec(), memory("0").to_vec(), "out of memory"),
        (
            replicas("1").to_vec(),
            replicas("0").to_vec(),
            "too few replicas",
        ),
        (
            vec!["REPLICAOF", "127.0.0.1", "1"],
            vec!["REPLICAOF", "NO", "ONE"],
            "it is a replica",
        ),
    ];
    for (refuse, mend, reason) in refusals {
        let redis = RedisServer::start();
        redis.cli(&refuse);
        let service = program.start(&[("JWT_REVOKE_STORE", &redis.url())]);
        assert_eq!(service.get("/healthz").await.status, 200, "{reason}");
        let ready = service.get("/readyz").await;
        assert_eq!(
            (ready.status, ready.header("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(service.login(ALICE).await.status, 503, "{reason}");
        service.until_logged(reason).await;
        redis.cli(&mend);
        let token = service.token(ALICE).await;
        assert_eq!(service.decision(&token).await, 200, "{reason}");
        service.log_out(&token).await;
        assert_eq!(service.decision(&token).await, 401, "{reason}");
        assert_eq!(again(|| service.get("/readyz")).await.status, 200);
    }
}

pub async fn r3_a_redis_that_refuses_the_password_ends_the_program(program: &Program) {
    program.keep_secret(PASSWORD);
    let redis = RedisServer::start_with(&["--requirepass", "another-password"]);
    let at = format!("127.0.0.1:{}", redis.port());
    let wrong = format!("redis://:{PASSWORD}@{at}");
    for url in [&wrong, &redis.url()] {
        let failed = program.fail(&[("JWT_REVOKE_STORE", url)]);
        failed.assert_names(&[&at, "check user name, password"]);
    }
    // The right one is no less secret.
    program.keep_secret("another-password");
    let right = format!("redis://:another-password@{at}");
    let service = program.start(&[("JWT_REVOKE_STORE", &right)]);
    assert_eq!(service.login(ALICE).await.status, 200);
    redis.freeze();
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(!ready.body.contains("another-password"), "{ready:?}");
}

pub async fn r9_a_store_that_is_in_use_ends_the_second_program(program: &Program) {
    let first = program.start(&[]);
    let token = first.token(ALICE).await;
    let failed = program.fail(&[]);
    failed.assert_names(&["revocations.redb", "another process"]);
    // The first is none the worse.
    first.log_out(&token).await;
    assert_eq!(first.decision(&token).await, 401);
}

pub async fn r9_a_store_that_cannot_be_written_ends_the_program(program: &Program) {
    let folder = program.folder();
    let file = folder.join("a-file");
    fs::write(&file, "precious").unwrap();
    let inside = format!("file:{}", file.join("data").display());
    let failed = program.fail(&[("JWT_REVOKE_STORE", &inside)]);
    failed.assert_names(&["a-file"]);
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    // A folder in which nothing can be made.
    let locked = folder.join("locked");
    fs::create_dir(&locked).unwrap();
    set_mode(&locked, 0o555);
    set_mode(folder, 0o777);
    let key = folder.join("key").display().to_string();
    let store = format!("file:{}", locked.display());
    let settings = [("JWT_REVOKE_STORE", &*store), ("JWT_REVOKE_KEY", &key)];
    let failed = program.fail_command(unprivileged(program), &settings);
    failed.assert_names(&["locked", "ermission"]);

    // A file that can be read and not written.
    drop(program.start(&[("JWT_REVOKE_STORE", "file:whole")]));
    let whole = folder.join("whole/revocations.redb");
    set_mode(&whole, 0o444);
    set_mode(&folder.join("whole"), 0o555);
    let settings = [("JWT_REVOKE_STORE", "file:whole"), ("JWT_REVOKE_KEY", &key)];
    let failed = program.fail_command(unprivileged(program), &settings);
    failed.assert_names(&["revocations.redb", "ermission"]);
}

pub async fn r9_a_store_that_is_damaged_ends_the_program(program: &Program) {
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    service.log_out(&token).await;
    drop(service);
    let file = program.folder().join("jwt-revoke-data/revocations.redb");
    let whole = fs::read(&file).unwrap();
    for damaged in [&b""[..], b"not a store", &whole[..whole.len() / 2]] {
        fs::write(&file, damaged).unwrap();
        // Trying does not mend it either.
        for _ in 0..2 {
            program.fail(&[]).assert_names(&["revocations.redb"]);
        }
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(program.start(&[]).decision(&token).await, 401);
}

pub async fn an_address_that_is_no_store_ends_the_program(program: &Program) {
    program.keep_secret(PASSWORD);
    let secret = format!("postgres://me:{PASSWORD}@localhost/db");
    let scheme = format!("redi://:{PASSWORD}@localhost");
    let port = format!("redis://:{PASSWORD}@localhost:99999");
    for address in [
        "",
        "memory",
        "jwt-revoke-data",
        "file:",
        &secret,
        &scheme,
        &port,
    ] {
        let failed = program.fail(&[("JWT_REVOKE_STORE", address)]);
        failed.assert_names(&["is no store"]);
    }
}

pub async fn a_setting_that_cannot_be_understood_is_named(program: &Program) {
    for (variable, values) in [
        (
            "JWT_REVOKE_ADDR",
            &["", "localhost", "127.0.0.1", "127.0.0.1:99999"][..],
        ),
        ("JWT_REVOKE_ALG", &["", "none", "RS128", "eddsa "]),
        ("JWT_REVOKE_OUTAGE", &["", "perhaps", "ALLOW"]),
        (
            "JWT_REVOKE_CONSISTENCY",
            &["", "eventual", "mirror:", "mirror:x", "mirror:99"],
        ),
        (
            "JWT_REVOKE_ACCESS_TTL",
            &["", "15m", "-1", "1e3", "0", "86401"],
        ),
        ("JWT_REVOKE_LEEWAY", &["", "-1", "5s", "301"]),
        ("JWT_REVOKE_DRAIN", &["", "-1", "5s", "3601"]),
        // There is no such setting.
        ("JWT_REVOKE_OUTTAGE", &["allow"]),
        ("JWT_REVOKE_TTL", &["900"]),
        (
            "JWT_REVOKE_ISSUER",
            &["", "auth", "http://auth.example.com", "https://a?b"],
        ),
        (
            "JWT_REVOKE_CLIENT_SECRET",
            &["", "secret", "your-client-secret-change-me-in-production"],
        ),
    ] {
        for value in values {
            let failed = program.fail(&[(variable, value)]);
            failed.assert_names(&[variable]);
        }
    }
}

pub async fn a_key_file_that_cannot_serve_ends_the_program(program: &Program) {
    let file = program.folder().join("key");
    let path = file.display().to_string();
    let key = ("JWT_REVOKE_KEY", &*path);
    fs::write(&file, "precious").unwrap();
    program.fail(&[key]).assert_names(&[&path, "holds no key"]);
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    fs::remove_file(&file).unwrap();
    drop(program.start(&[key, ("JWT_REVOKE_ALG", "ES256")]));
    program
        .fail(&[key])
        .assert_names(&[&path, "ES256", "EdDSA", "JWT_REVOKE_ALG"]);

    let nowhere = file.join("key").display().to_string();
    let failed = program.fail(&[("JWT_REVOKE_KEY", &nowhere)]);
    failed.assert_names(&[&nowhere]);
}

pub async fn an_address_that_is_taken_is_named(program: &Program) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let failed = program.fail(&[("JWT_REVOKE_ADDR", &address)]);
    failed.assert_names(&[&address, "JWT_REVOKE_ADDR"]);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The program as a user to whom file modes apply: not root. It must lie where that user can reach
/// it, so it is copied.
fn unprivileged(program: &Program) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return Command::new(program.binary());
    }
    let copy = program.folder().join("program");
    if !copy.exists() {
        fs::copy(program.binary(), &copy).unwrap();
    }
    let key = program.folder().join("key");
    if key.exists() {
        set_mode(&key, 0o644);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(copy);
    command
}
