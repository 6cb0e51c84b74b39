//! A server that refuses, forgets, or whose answers are lost.

use std::time::Duration;

use jwt_revoke_core::{
    Guard, Issuer,
    revocation::Shard,
    session::{AttemptId, Grant, Outcome, Pair, Sessions},
    store::{Opened, RedisStore, Store, StoreError, WriteRefusal},
    token::SessionId,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::{
    meta::{self, Field},
    proxy::{Fault, Proxy},
    redis_server::RedisServer,
    store_suite::ISSUER,
};

use crate::{
    builder, connect, until,
    user::{Held, User, entry, held},
};

/// A store behind a proxy whose scripts the server knows already.
async fn behind_proxy(server: &RedisServer) -> (Proxy, RedisStore) {
    let warm = connect(&server.url()).await;
    let bob = User::strict("bob");
    let (first, other) = (bob.login(&warm).await, bob.login(&warm).await);
    bob.next(&warm, &first).await;
    bob.end(&warm, &other.session).await;
    bob.end_others(&warm, &first.session).await;
    let proxy = Proxy::start(server.port()).await;
    let store = connect(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    (proxy, store)
}

/// Loses answers until `done`. A connection whose first answer is lost already never gets as far as
/// to send anything, so now and then they pass.
async fn lose_until<F: Future<Output = bool>>(proxy: &Proxy, what: &str, done: impl Fn() -> F) {
    let turns = std::cell::Cell::new(0);
    until(what, || async {
        let turn = turns.replace(turns.get() + 1);
        let fault = if turn % 20 < 15 {
            Fault::LoseAnswers
        } else {
            Fault::None
        };
        proxy.set(fault);
        done().await
    })
    .await;
    proxy.set(Fault::None);
}

#[tokio::test]
async fn s17_a_refresh_whose_answer_was_lost_is_repeated_without_a_grace() {
    let server = RedisServer::start();
    let direct = connect(&server.url()).await;
    let (proxy, store) = behind_proxy(&server).await;
    let user = User::strict("alice");
    let mut token = user.login(&direct).await;
    for round in 0..5 {
        let generation = token.generation;
        let lost = lose_until(&proxy, "it rotates", || async {
            let listed = user.list(&direct).await;
            listed[0].1.current.generation > generation
        });
        let (outcome, ()) = tokio::join!(user.refresh(&store, &token), lost);
        let Outcome::Rotated(identity) = outcome else {
            panic!("{round}: {outcome:?}");
        };
        // What the server has is what was handed out, and one step further.
        assert_eq!(user.list(&direct).await[0].1.current, identity);
        assert_eq!(identity.generation, generation + 1);
        token = held(&token.session, &identity);
    }
    user.next(&store, &token).await;
    assert_eq!(
        server.cli(&["KEYS", &format!("*:deny:{}", user.digest())]),
        ""
    );
}

#[tokio::test]
async fn s17_an_end_whose_answer_was_lost_is_repeated_and_told() {
    let server = RedisServer::start();
    let direct = connect(&server.url()).await;
    let (proxy, store) = behind_proxy(&server).await;
    let user = User::strict("alice");
    for _ in 0..5 {
        let token = user.login(&direct).await;
        let lost = lose_until(&proxy, "it has ended", || async {
            user.sessions(&direct).await.is_empty()
        });
        let (ended, ()) = tokio::join!(user.end(&store, &token.session), lost);
        assert_eq!(ended, std::slice::from_ref(&token.session));
        // Whoever asks anew hears that there is none.
        assert_eq!(user.end(&store, &token.session).await, []);
    }
    // What tells a repetition from that is not kept for long.
    let keys = server.cli(&["KEYS", "*:ended:*"]);
    for key in keys.lines() {
        let left: i64 = server.cli(&["PTTL", key]).parse().unwrap();
        assert!((1..=300_000).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn s17_a_login_whose_answer_was_lost_is_repeated_and_opens_one_session() {
    let server = RedisServer::start();
    let direct = connect(&server.url()).await;
    let (proxy, store) = behind_proxy(&server).await;
    for round in 0..5 {
        let user = User::strict(&format!("alice-{round}"));
        let now = direct.now(user.shard()).await.unwrap();
        let session = SessionId::opened_at(now);
        let record = user.record(&session, now);
        let lost = lose_until(&proxy, "it is open", || async {
            !user.sessions(&direct).await.is_empty()
        });
        let opening = user.open_with(&store, &session, &record, now, None);
        let (opened, ()) = tokio::join!(opening, lost);
        assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
        assert_eq!(user.list(&direct).await, [(session, record)]);
    }
}

#[tokio::test]
async fn i3_a_kill_whose_answer_was_lost_is_in_force_all_the_same() {
    let server = RedisServer::start();
    let direct = connect(&server.url()).await;
    let (proxy, store) = behind_proxy(&server).await;
    let user = User::strict("alice");
    let (stolen, other) = (user.login(&direct).await, user.login(&direct).await);
    let live = user.next(&direct, &stolen).await;
    let lost = lose_until(&proxy, "it ends", || async {
        user.sessions(&direct).await.len() == 1
    });
    let (outcome, ()) = tokio::join!(user.refresh(&store, &stolen), lost);
    // The repetition finds the session ended: refused, whichever word.
    assert!(matches!(outcome, Outcome::Ended | Outcome::Reused));
    for token in [&stolen, &live, &other] {
        assert_eq!(user.refresh(&direct, token).await, Outcome::Ended);
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let token = user.login(&store).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    let token = user.next(&store, &token).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    user.next(&store, &token).await;
    assert_eq!(user.refresh(&store, &token).await, Outcome::Reused);
}

// R2: the server refuses writes.

/// Refreshes, and steals, while the server refuses: nothing may have happened.
async fn refused(
    server: &RedisServer,
    store: &RedisStore,
    user: &User,
    token: &Held,
    spent: &Held,
) {
    let before = keys(server);
    for token in [token, spent] {
        let error = user.try_refresh(store, token).await.unwrap_err();
        assert!(matches!(error, StoreError::WriteRefused { .. }), "{error}");
    }
    let now = token.session.instant().unwrap();
    let session = SessionId::opened_at(now);
    let record = user.record(&session, now);
    let opened = user.open_with(store, &session, &record, now, None).await;
    assert!(
        matches!(opened, Err(StoreError::WriteRefused { .. })),
        "{opened:?}"
    );
    assert_eq!(keys(server), before);
}

/// Every key that a transition could have written, and its contents.
fn keys(server: &RedisServer) -> Vec<String> {
    let keys = server.cli(&["KEYS", "*"]);
    let mut keys: Vec<_> = keys
        .lines()
        .filter(|key| !key.ends_with(":meta"))
        .map(|key| format!("{key} {}", server.cli(&["DUMP", key])))
        .collect();
    keys.sort();
    keys
}

async fn two_tokens(store: &RedisStore, user: &User) -> (Held, Held) {
    let spent = user.login(store).await;
    (user.next(store, &spent).await, spent)
}

#[tokio::test]
async fn r2_out_of_memory_leaves_the_old_token_good() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let (token, spent) = two_tokens(&store, &user).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    refused(&server, &store, &user, &token, &spent).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    user.next(&store, &token).await;
}

#[tokio::test]
async fn r2_a_replica_leaves_the_old_token_good() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let (token, spent) = two_tokens(&store, &user).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refused(&server, &store, &user, &token, &spent).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    until("it rotates", || async {
        matches!(
            user.try_refresh(&store, &token).await,
            Ok(Outcome::Rotated(_))
        )
    })
    .await;
}

#[tokio::test]
async fn r2_too_few_replicas_leave_the_old_token_good() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let (token, spent) = two_tokens(&store, &user).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    refused(&server, &store, &user, &token, &spent).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    user.next(&store, &token).await;
}

#[tokio::test]
async fn r2_a_server_that_cannot_persist_leaves_the_old_token_good() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let (token, spent) = two_tokens(&store, &user).await;
    server.cli(&["CONFIG", "SET", "save", "3600 1000000"]);
    std::fs::remove_dir_all(server.folder()).unwrap();
    server.cli(&["BGSAVE"]);
    until("the snapshot fails", || async {
        let info = server.cli(&["INFO", "persistence"]);
        info.contains("rdb_last_bgsave_status:err")
    })
    .await;
    refused(&server, &store, &user, &token, &spent).await;
    server.cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    user.next(&store, &token).await;
}

#[tokio::test]
async fn r2_a_user_who_may_not_write_gets_an_error_and_no_successor() {
    let server = RedisServer::start();
    let admin = connect(&server.url()).await;
    let user = User::strict("alice");
    let (token, _) = two_tokens(&admin, &user).await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all"]);
    let url = server.url().replace("://", "://app:hunter2@");
    let store = connect(&url).await;
    server.cli(&["ACL", "SETUSER", "app", "-set"]);
    let error = user.try_refresh(&store, &token).await.unwrap_err();
    let no_permission = matches!(
        error,
        StoreError::WriteRefused {
            refusal: WriteRefusal::NoPermission(_),
            ..
        }
    );
    assert!(no_permission, "{error}");
    server.cli(&["ACL", "SETUSER", "app", "+set"]);
    user.next(&store, &token).await;
}

// R3, R4: what is there cannot be read, or is not there.

const HALVE: &str = "local raw = redis.call('GET', KEYS[1]) \
     return redis.call('SET', KEYS[1], string.sub(raw, 1, #raw / 2))";

#[tokio::test]
async fn r2_a_record_that_is_none_of_ours_keeps_nobody_from_revoking_its_session() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let token = user.login(&store).await;
    let key = server.cli(&["KEYS", "*:session:*"]);
    server.cli(&["SET", &key, "what"]);
    let revocation = user.session_revocation(&token.session);
    store.revoke(&[revocation]).await.unwrap();
    assert_eq!(user.refresh(&store, &token).await, Outcome::Ended);
}

#[tokio::test]
async fn r3_what_is_no_record_or_entry_of_ours_is_an_error_and_not_theft() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let token = user.login(&store).await;
    let key = server.cli(&["KEYS", "*:session:*"]);
    server.cli(&["COPY", &key, "kept"]);
    let damages: [&[&str]; 6] = [
        &["SET", &key, "what"],
        &["SET", &key, ""],
        &["APPEND", &key, "x"],
        // The kind, the second half, and the length of the first text.
        &["SETRANGE", &key, "0", "X"],
        &["EVAL", HALVE, "1", &key],
        &["SETRANGE", &key, "130", "~"],
    ];
    for damage in damages {
        server.cli(damage);
        let error = user.try_refresh(&store, &token).await;
        assert!(error.is_err(), "{damage:?}: {error:?}");
        server.cli(&["COPY", "kept", &key, "REPLACE"]);
    }
    let prefix = key.split(":session:").next().unwrap();
    let deny = format!("{prefix}:deny:{}", entry(&token.session));
    server.cli(&["SET", &deny, "maybe"]);
    let error = user.try_refresh(&store, &token).await;
    assert!(error.is_err(), "{error:?}");
    server.cli(&["DEL", &deny]);
    user.next(&store, &token).await;
}

#[tokio::test]
async fn r4_in_a_wiped_store_a_session_is_lost_and_not_unknown_until_it_is_healed() {
    let server = RedisServer::start();
    let store = builder(&server.url())
        .with_healing(Duration::from_secs(2))
        .connect()
        .await
        .unwrap();
    let user = User::strict("alice");
    let token = user.login(&store).await;
    server.cli(&["FLUSHALL"]);
    let lost = |result: Result<Outcome, StoreError>| match result {
        Err(StoreError::ShardLost { .. }) => true,
        Ok(Outcome::Unknown) => false,
        other => panic!("{other:?}"),
    };
    assert!(lost(user.try_refresh(&store, &token).await));
    // Lost, then healing: from there on the server says so itself.
    until("it heals", || async {
        server.cli(&["KEYS", "*:epoch"]).lines().count() == 16
    })
    .await;
    assert!(lost(user.try_refresh(&store, &token).await));
    until("it is healed", || async {
        !lost(user.try_refresh(&store, &token).await)
    })
    .await;
    assert_eq!(user.refresh(&store, &token).await, Outcome::Unknown);
    let anew = user.login(&store).await;
    user.next(&store, &anew).await;
}

#[tokio::test]
async fn r11_a_store_that_was_wiped_and_used_by_others_is_healed_before_it_is_believed() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::strict("alice");
    let since = store.now(user.shard()).await.unwrap();
    store.revoke(&[user.revocation()]).await.unwrap();
    server.cli(&["FLUSHALL"]);
    // The other process has found it empty, and gives it an epoch; it knows of no cutoff.
    other.ready().await.unwrap();
    let bob = User::strict("bob");
    until("the other process goes on", || async {
        let session = SessionId::opened_at(since);
        let record = bob.record(&session, since);
        let opened = bob.open_with(&other, &session, &record, since, None).await;
        matches!(opened, Ok(Opened::Opened(_)))
    })
    .await;
    // Ours does: whatever it answers, it is neither a session nor "never heard of it".
    let session = SessionId::opened_at(since);
    let record = user.record(&session, since);
    until("it is stale", || async {
        match user.open_with(&store, &session, &record, since, None).await {
            Ok(Opened::Stale) => true,
            Err(StoreError::ShardLost { .. }) => false,
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn r12_a_clock_that_steps_back_does_not_date_a_rotation_before_the_one_it_follows() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let token = user.login(&store).await;
    let token = user.next(&store, &token).await;
    // As a server would have left it whose clock was an hour ahead.
    let key = server.cli(&["KEYS", "*:session:*"]);
    let ahead: u64 = server.cli(&["EVAL", AHEAD, "1", &key]).parse().unwrap();
    user.mark(&store).await;
    let record = user.list(&store).await.remove(0).1;
    assert_eq!(record.privileges_changed_at.as_millis(), ahead);
    let attempt = AttemptId::random();
    let outcome = user.step(&store, &token, attempt, false).await.unwrap();
    let Outcome::Rotated(identity) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(identity.issued_at.as_millis(), ahead / 1000 * 1000);
    let record = user.list(&store).await.remove(0).1;
    assert_eq!(record.last_used_at.as_millis(), ahead);
    assert_eq!(record.spent_at[0].as_millis(), ahead);
}

/// Moves the last use of a session by an hour, and answers with it.
const AHEAD: &str = "local at = struct.unpack('>d', redis.call('GET', KEYS[1]), 11) + 3600000 \
     redis.call('SETRANGE', KEYS[1], 10, struct.pack('>d', at)) \
     return at";

/// Sessions over a store, and the guard that judges their tokens.
fn sessions_over(store: &RedisStore) -> Sessions {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, ISSUER, "api");
    let guard = Guard::new(issuer.verifier(), store.clone()).strict();
    Sessions::new(&guard, issuer)
}

async fn log_in(sessions: &Sessions, user: &str) -> Pair {
    let begun = sessions.begin().await.unwrap();
    sessions.login(begun, user, &Grant::new()).await.unwrap()
}

/// As a server leaves it whose clock was ahead for a while, in which a session of another user was opened or
/// somebody revoked something, and has been put right since.
#[tokio::test]
async fn r71_after_a_clock_that_was_ahead_logins_and_refreshes_work_at_once() {
    let hour = 3_600_000;
    for (opened, revoked) in [(50 * hour / 60, 0), (0, 10 * hour / 60), (0, 300 * hour)] {
        let server = RedisServer::start();
        let store = connect(&server.url()).await;
        let sessions = sessions_over(&store);
        let before = log_in(&sessions, "alice").await;
        let shard = Shard::of_subject(ISSUER, &"alice".into());
        let now = store.now(shard).await.unwrap().as_millis();
        for key in server.cli(&["KEYS", "*:meta"]).lines() {
            if opened > 0 {
                meta::write(&server, key, Field::Told, now + opened);
            }
            if revoked > 0 {
                let log = key.replace(":meta", ":log");
                server.cli(&["XADD", &log, &format!("{}-0", now + revoked), "digest", "x"]);
            }
        }
        store.ready().await.unwrap();
        let pair = log_in(&sessions, "alice").await;
        for token in [before.access_token(), pair.access_token()] {
            sessions.guard().check(token).await.unwrap();
        }
        let next = sessions
            .refresh(before.refresh_token(), None)
            .await
            .unwrap();
        sessions.guard().check(next.access_token()).await.unwrap();
        let again = sessions.refresh(next.refresh_token(), None).await.unwrap();
        sessions.guard().check(again.access_token()).await.unwrap();
        // A cutoff still covers whatever that clock dated.
        let at = sessions.revoke_all("alice").await.unwrap();
        assert!(at.at.as_millis() >= now + opened.max(revoked));
        for token in [again.access_token(), pair.access_token()] {
            sessions.guard().check(token).await.unwrap_err();
        }
        log_in(&sessions, "bob").await;
    }
}
