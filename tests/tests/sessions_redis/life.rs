//! What happens to sessions, one step after the other.

use std::{slice, time::Duration};

use jwt_revoke_core::{
    Timestamp, defaults,
    revocation::{Cutoff, Digest, Dimension, Horizons, Placement},
    session::{AttemptId, Outcome, ReuseScope, SessionCap, WhenFull},
    store::{Lookup, Opened, Reach, RedisStore, Revocation, Store, StoreError},
    token::SessionId,
};
use jwt_revoke_tests::redis_server::{RedisCluster, RedisServer};

use crate::{
    connect, until,
    user::{CLIENT, Held, ISSUER, User, entry, held},
};

async fn cutoff(store: &RedisStore, user: &User, digest: Digest) -> Option<Cutoff> {
    let query = [digest];
    let found = store.lookup(&Lookup::new(user.shard(), &query)).await;
    found.unwrap().highest()
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_written() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    let session = SessionId::opened_at(now);
    let mut record = user.record(&session, now);
    let devices = [
        None,
        Some("a"),
        Some(&*"ü".repeat(64)),
        Some("line\r\n\u{0}'\"{}*"),
    ];
    for device in devices {
        let session = SessionId::opened_at(now);
        record.entry = entry(&session);
        record.device = device.map(Into::into);
        let opened = user.open_with(&store, &session, &record, now, None).await;
        assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
        let listed = user.list(&store).await;
        assert!(listed.contains(&(session, record.clone())), "{listed:?}");
    }
}

#[tokio::test]
async fn a_rotation_changes_the_record_as_the_state_machine_says() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let first = user.login(&store).await;
    let before = user.list(&store).await.remove(0).1;
    let attempt = AttemptId::random();
    let Outcome::Rotated(identity) = user.step(&store, &first, attempt, false).await.unwrap()
    else {
        panic!("not rotated");
    };
    let after = user.list(&store).await.remove(0).1;
    assert_eq!(after.current, identity);
    assert_eq!(after.previous, Some(first.jti));
    assert_eq!(after.attempt, Some(attempt));
    assert_eq!(after.spent_at[0], after.last_used_at);
    assert_eq!(after.spent_at[1..], before.spent_at[..3]);
    assert_eq!(
        after.idle_deadline,
        after
            .last_used_at
            .saturating_add(user.policy.idle_lifetime)
            .min(before.absolute_deadline)
    );
    assert_eq!(identity.issued_at.as_millis() % 1000, 0);
    assert_eq!(
        (after.subject, after.client, after.device, after.opened_at),
        (
            before.subject,
            before.client,
            before.device,
            before.opened_at
        )
    );
}

#[tokio::test]
async fn a_look_tells_and_changes_nothing() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let first = user.login(&store).await;
    let look = |token: Held| {
        let (user, store) = (user.clone(), store.clone());
        async move {
            let dump = server_dump(&user, &store).await;
            let attempt = AttemptId::random();
            let outcome = user.step(&store, &token, attempt, true).await.unwrap();
            assert_eq!(server_dump(&user, &store).await, dump);
            outcome
        }
    };
    assert!(matches!(look(first.clone()).await, Outcome::Rotated(_)));
    user.next(&store, &first).await;
    assert_eq!(look(first.clone()).await, Outcome::Reused);
    let mut forged = first;
    forged.jti = "other".into();
    assert_eq!(look(forged.clone()).await, Outcome::Forked);
    forged.generation = 9;
    assert!(matches!(look(forged).await, Outcome::Recovered(_)));
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
}

async fn server_dump(user: &User, store: &RedisStore) -> String {
    format!("{:?}", user.list(store).await)
}

#[tokio::test]
async fn s4_reuse_ends_session_and_user_in_one_step_and_is_kept_in_the_audit_stream() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::strict("alice");
    let (stolen, bystander) = (user.login(&store).await, user.login(&store).await);
    let live = user.next(&store, &stolen).await;
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Reused);
    for token in [&live, &stolen, &bystander] {
        assert_eq!(user.refresh(&store, token).await, Outcome::Ended);
        assert_eq!(user.refresh(&other, token).await, Outcome::Ended);
    }
    let ended = cutoff(&other, &user, entry(&stolen.session)).await;
    assert_eq!(ended, Some(Cutoff::Forever));
    let all = cutoff(&other, &user, user.digest()).await.unwrap();
    assert!(all.covers(bystander.session.instant().unwrap()));
    // What this process wrote it also remembers.
    server.cli(&["FLUSHALL"]);
    let error = user.try_refresh(&store, &live).await.unwrap();
    assert_eq!(error, Outcome::Ended);
    // S7: a login after it lives, and the replayed token does not end it.
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let stolen = user.login(&store).await;
    user.next(&store, &stolen).await;
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Reused);
    let anew = user.login(&store).await;
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Ended);
    user.next(&store, &anew).await;
    let audit = server.cli(&["KEYS", "*:audit"]);
    let audit = server.cli(&["XRANGE", &audit, "-", "+"]);
    let lines: Vec<_> = audit.lines().collect();
    for (name, value) in [
        ("dimension", "session"),
        ("value", stolen.session.as_str()),
        ("dimension", "subject"),
        ("value", "alice"),
        ("cause", "reuse"),
        ("issuer", ISSUER),
    ] {
        let is_there = lines.windows(2).any(|pair| pair == [name, value]);
        assert!(is_there, "{name} {value}: {audit}");
    }
}

#[tokio::test]
async fn s4_reuse_ends_what_the_scope_says() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut user = User::strict("alice");
    user.policy.reuse = ReuseScope::Refuse;
    let (stolen, bystander) = (user.login(&store).await, user.login(&store).await);
    let live = user.next(&store, &stolen).await;
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Reused);
    let live = user.next(&store, &live).await;
    user.policy.reuse = ReuseScope::Session;
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Reused);
    assert_eq!(user.refresh(&store, &live).await, Outcome::Ended);
    user.next(&store, &bystander).await;
    assert_eq!(cutoff(&store, &user, user.digest()).await, None);
}

/// A session that was opened and used while the server's clock was `ahead`; it has been put right since.
async fn login_ahead(
    server: &RedisServer,
    store: &RedisStore,
    user: &User,
    ahead: Duration,
) -> Held {
    // A cutoff of that clock, gone by now, lets the server of a right one date a session so.
    let client = String::from_utf8(user.covering()[1].hex().to_vec()).unwrap();
    let tag = server.cli(&["KEYS", "*:epoch"]);
    let tags = tag
        .lines()
        .map(|key| key.trim_end_matches("epoch").to_owned());
    let keys: Vec<_> = tags.map(|tag| format!("{tag}deny:{client}")).collect();
    let cutoff = store.now(user.shard()).await.unwrap().saturating_add(ahead);
    let at = cutoff.saturating_add(Duration::from_millis(1));
    for key in &keys {
        server.cli(&["SET", key, &cutoff.as_millis().to_string()]);
    }
    let held = user.login_since(store, at, None).await.unwrap();
    for key in &keys {
        server.cli(&["DEL", key]);
    }
    held
}

#[tokio::test]
async fn s4_reuse_after_a_clock_that_was_ahead_ends_all_that_it_opened_and_lets_the_user_log_in() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::strict("alice");
    let day = Duration::from_secs(24 * 3600);
    let bystander = user.login(&store).await;
    let stolen = login_ahead(&server, &store, &user, day).await;
    let later = login_ahead(&server, &store, &user, 2 * day).await;
    let live = user.next(&store, &stolen).await;
    // What is no record must not keep the others from being ended.
    let index = server.cli(&["KEYS", "*:user:*"]);
    server.cli(&["ZADD", &index, "9000000000000", "not-a-record"]);
    let key = server.cli(&["KEYS", &format!("*:session:{}", later.session)]);
    let key = key.replace(later.session.as_str(), "not-a-record");
    server.cli(&["SET", &key, "no record"]);
    assert_eq!(user.refresh(&store, &stolen).await, Outcome::Reused);
    for token in [&live, &stolen, &bystander, &later] {
        for store in [&store, &other] {
            assert_eq!(user.refresh(store, token).await, Outcome::Ended);
        }
    }
    let now = store.now(user.shard()).await.unwrap();
    let Some(Cutoff::At(all)) = cutoff(&other, &user, user.digest()).await else {
        panic!("no cutoff");
    };
    assert!(
        all <= now.saturating_add(defaults::MAX_CUTOFF_AHEAD),
        "{all} {now}"
    );
    assert!(all.as_millis() >= now.as_millis() - 1_000, "{all} {now}");
    server.cli(&["ZREM", &index, "not-a-record"]);
    // A moment later the user is in again, and stays.
    until("a login is not stale", || async {
        let since = store.now(user.shard()).await.unwrap();
        user.login_since(&store, since, None).await.is_ok()
    })
    .await;
    let anew = user.login(&store).await;
    user.next(&other, &anew).await;
}

#[tokio::test]
async fn a_session_that_was_used_by_a_clock_that_was_ahead_sets_no_other_clock() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let before = store.now(user.shard()).await.unwrap();
    let ahead = Duration::from_secs(1_800);
    let session = SessionId::opened_at(before);
    let mut record = user.record(&session, before);
    record.last_used_at = before.saturating_add(ahead);
    let opened = user
        .open_with(&store, &session, &record, before, None)
        .await;
    assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
    user.next(&store, &held(&session, &record.current)).await;
    let after = store.now(user.shard()).await.unwrap();
    assert!(after < before.saturating_add(ahead / 2), "{before} {after}");
}

#[tokio::test]
async fn s3_a_retry_in_the_grace_gets_the_same_successor_unless_privileges_changed() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let first = user.login(&store).await;
    let second = user.next(&store, &first).await;
    let Outcome::Retried(identity) = user.refresh(&store, &first).await else {
        panic!("not retried");
    };
    assert_eq!(held(&first.session, &identity), second);
    user.mark(&store).await;
    assert_eq!(user.refresh(&store, &first).await, Outcome::Superseded);
    // What is spent in a later millisecond than the change may be retried again.
    let changed_at = user.list(&store).await[0].1.privileges_changed_at;
    until("the clock goes on", || async {
        store.now(user.shard()).await.unwrap() > changed_at
    })
    .await;
    let third = user.next(&store, &second).await;
    assert_eq!(user.refresh(&store, &first).await, Outcome::Superseded);
    assert!(matches!(
        user.refresh(&store, &second).await,
        Outcome::Retried(_)
    ));
    user.next(&store, &third).await;
}

#[tokio::test]
async fn a_line_that_split_ends_the_session_only_and_a_lost_write_is_recovered() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let (first, bystander) = (user.login(&store).await, user.login(&store).await);
    let second = user.next(&store, &first).await;
    let mut ahead = second.clone();
    ahead.generation = 4;
    ahead.jti = "lost".into();
    let attempt = AttemptId::random();
    let recovered = user.step(&store, &ahead, attempt, false).await.unwrap();
    let Outcome::Recovered(identity) = &recovered else {
        panic!("{recovered:?}");
    };
    assert_eq!(identity.generation, 5);
    let again = user.step(&store, &ahead, attempt, false).await.unwrap();
    assert_eq!(again, recovered);
    // Spent as of now, as far as anybody knows: a slow tab.
    assert_eq!(user.refresh(&store, &second).await, Outcome::Superseded);
    let mut forged = held(&first.session, identity);
    forged.jti = "other".into();
    assert_eq!(user.refresh(&store, &forged).await, Outcome::Forked);
    user.next(&store, &bystander).await;
    let ended = cutoff(&store, &user, entry(&first.session)).await;
    assert_eq!(ended, Some(Cutoff::Forever));
}

#[tokio::test]
async fn s12_another_clients_token_is_refused_and_ends_nothing() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    let first = user.login(&store).await;
    // The record says another client than the token.
    let key = server.cli(&["KEYS", "*:session:*"]);
    let rename = "local raw = redis.call('GET', KEYS[1]) \
         local from, to = string.find(raw, ARGV[1], 1, true) \
         return redis.call('SETRANGE', KEYS[1], from - 1, ARGV[2])";
    let other = "x".repeat(CLIENT.len());
    server.cli(&["EVAL", rename, "1", &key, CLIENT, &other]);
    assert_eq!(user.refresh(&store, &first).await, Outcome::Refused);
    server.cli(&["EVAL", rename, "1", &key, &other, CLIENT]);
    user.next(&store, &first).await;
}

#[tokio::test]
async fn s13_a_session_past_its_deadline_is_expired_and_not_stolen() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut user = User::strict("alice");
    user.policy.idle_lifetime = Duration::from_millis(300);
    let first = user.login(&store).await;
    assert_eq!(user.sessions(&store).await.len(), 1);
    until("it has expired", || async {
        user.sessions(&store).await.is_empty()
    })
    .await;
    assert_eq!(user.refresh(&store, &first).await, Outcome::Expired);
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
}

#[tokio::test]
async fn records_and_indexes_live_as_long_as_their_sessions_and_a_margin() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut user = User::new("alice");
    let minute = Duration::from_secs(60);
    let near = |key: &str, life: Duration| {
        let key = server.cli(&["KEYS", key]);
        let left: u64 = server.cli(&["PTTL", &key]).parse().unwrap();
        let left = Duration::from_millis(left);
        // An index is given a sixteenth more than it must live.
        let spare = if key.contains("user") {
            life / 16
        } else {
            Duration::ZERO
        };
        assert!(
            left <= life + spare && left > life - minute,
            "{left:?} {life:?}"
        );
    };
    user.policy.idle_lifetime = 10 * minute;
    let long = user.login(&store).await;
    near("*:session:*", 15 * minute);
    near("*:user:*", 15 * minute);
    user.policy.idle_lifetime = 30 * minute;
    user.next(&store, &long).await;
    near("*:session:*", 35 * minute);
    near("*:user:*", 35 * minute);
    user.policy.idle_lifetime = 5 * minute;
    let short = user.login(&store).await;
    near(&format!("*:session:{}", short.session), 10 * minute);
    near("*:user:*", 35 * minute);
}

#[tokio::test]
async fn r41_a_session_that_was_dated_ahead_is_kept_until_it_is_over() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let day = Duration::from_secs(24 * 3600);
    let horizons = Horizons::covering(day / 24, 30 * day, Duration::ZERO);
    let horizons = store.require(horizons).await.unwrap();
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    let far = now.saturating_add(40 * day);

    // Its name says when it was opened, by a clock that was ahead.
    let session = SessionId::opened_at(far);
    let mut record = user.record(&session, now);
    record.entry = entry(&session);
    let opened = user.open_with(&store, &session, &record, now, None).await;
    assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
    assert_eq!(user.end(&store, &session).await, slice::from_ref(&session));
    // A token and a session that are revoked by what they say themselves.
    let of = |dimension, value: &str| {
        let placement = Placement::One(user.shard());
        Revocation::new(dimension, ISSUER, value, placement, Reach::Forever).counting_from(far)
    };
    let other = SessionId::opened_at(far);
    let by_token = [
        of(Dimension::Jti, "token"),
        of(Dimension::Session, other.as_str()),
    ];
    store.revoke(&by_token).await.unwrap();
    let kept = [
        (entry(&session), horizons.session),
        (by_token[0].digest, horizons.access),
        (by_token[1].digest, horizons.session),
    ];
    let assert_kept = |when: &str| {
        for (index, (digest, horizon)) in kept.into_iter().enumerate() {
            let key = server.cli(&["KEYS", &format!("*:deny:{digest}")]);
            let left = server.cli(&["PTTL", &key]).parse().unwrap();
            let needed = 40 * day + horizon - Duration::from_secs(120);
            assert!(
                Duration::from_millis(left) > needed,
                "{index} {left} {when}"
            );
        }
    };
    assert_kept("written");
    // Processes that start when the log is trimmed learn them all the same.
    let lasting = server.cli(&["KEYS", "*:lasting"]);
    assert_eq!(server.cli(&["XLEN", &lasting]), "3");
    // And so does a server that lost everything.
    server.cli(&["FLUSHALL"]);
    until("they are put back", || async {
        let entries = server.cli(&["KEYS", "*:deny:*"]);
        entries.lines().count() == kept.len()
    })
    .await;
    assert_kept("put back");
}

#[tokio::test]
async fn an_index_that_was_lost_is_put_back_by_a_refresh_and_lives_as_long_as_its_sessions() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut user = User::new("alice");
    let held = user.login(&store).await;
    let index = server.cli(&["KEYS", "*:user:*"]);
    server.cli(&["DEL", &index]);
    let held = user.next(&store, &held).await;
    assert_eq!(user.sessions(&store).await, slice::from_ref(&held.session));
    // From here on a record knows how long the index lives, and looks when that is too short.
    user.policy.idle_lifetime *= 2;
    server.cli(&["DEL", &index]);
    let held = user.next(&store, &held).await;
    assert_eq!(user.sessions(&store).await, slice::from_ref(&held.session));
    let record = server.cli(&["KEYS", "*:session:*"]);
    let life = |key: &str| server.cli(&["PTTL", key]).parse::<u64>().unwrap();
    assert!(life(&index) > life(&record));
}

#[tokio::test]
async fn s9_only_the_owner_ends_a_session() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let token = user.login(&store).await;
    // In alice's shard, or it would not find the record anyway.
    let mallory = (0..)
        .map(|n| User::new(&format!("mallory-{n}")))
        .find(|mallory| mallory.shard() == user.shard())
        .unwrap();
    assert_eq!(mallory.end(&store, &token.session).await, []);
    for foreign in ["", "*", "a:b", "{x}", &"a".repeat(65), "unknown"] {
        assert_eq!(user.end(&store, &foreign.into()).await, []);
    }
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
    assert_eq!(
        user.end(&store, &token.session).await,
        std::slice::from_ref(&token.session)
    );
    assert_eq!(user.refresh(&store, &token).await, Outcome::Ended);
    assert_eq!(user.sessions(&store).await, []);
    // S8: the token of a session that was logged out ends nobody.
    let anew = user.login(&store).await;
    assert_eq!(user.refresh(&store, &token).await, Outcome::Ended);
    user.next(&store, &anew).await;
}

#[tokio::test]
async fn ending_the_others_leaves_one() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::new("alice");
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(user.login(&store).await);
    }
    let bob = User::new("bob");
    let stranger = bob.login(&store).await;
    let kept = tokens.remove(2);
    let mut ended = user.end_others(&store, &kept.session).await;
    ended.sort();
    let mut expected: Vec<_> = tokens.iter().map(|token| token.session.clone()).collect();
    expected.sort();
    assert_eq!(ended, expected);
    for token in &tokens {
        assert_eq!(user.refresh(&other, token).await, Outcome::Ended);
        // By the one entry of all of them.
        let ended = cutoff(&other, &user, user.others()).await;
        let born_at = token.session.instant().unwrap();
        assert!(ended.is_some_and(|ended| ended.covers(born_at)));
    }
    assert_eq!(
        user.sessions(&store).await,
        std::slice::from_ref(&kept.session)
    );
    user.next(&other, &kept).await;
    bob.next(&other, &stranger).await;
}

#[tokio::test]
async fn s10_a_plain_revocation_of_a_session_deletes_its_record() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let token = user.login(&store).await;
    // T12: the same name at another issuer is another session.
    let foreign = Revocation::new(
        Dimension::Session,
        "https://other.example.com",
        token.session.as_str(),
        Placement::Wide,
        Reach::Forever,
    );
    store.revoke(&[foreign]).await.unwrap();
    let token = user.next(&store, &token).await;
    let batch = [
        user.session_revocation(&"no-such-session".into()),
        user.session_revocation(&"not a session at all".into()),
        user.session_revocation(&token.session),
    ];
    store.revoke(&batch).await.unwrap();
    assert_eq!(server.cli(&["KEYS", "*:session:*"]), "");
    assert_eq!(user.sessions(&store).await, []);
    let other = connect(&server.url()).await;
    assert_eq!(user.refresh(&other, &token).await, Outcome::Ended);
}

#[tokio::test]
async fn s18_a_login_that_began_before_a_cutoff_is_stale_and_one_after_it_is_dated_after_it() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let since = store.now(user.shard()).await.unwrap();
    let cutoff = store.revoke(&[user.revocation()]).await.unwrap().at;
    let stale = user.login_since(&store, since.min(cutoff), None).await;
    assert_eq!(stale, Err(Opened::Stale));
    let after = cutoff.saturating_add(Duration::from_millis(1));
    let session = SessionId::opened_at(cutoff);
    let record = user.record(&session, cutoff);
    let opened = user.open_with(&store, &session, &record, after, None).await;
    let Opened::OpenAt(at) = opened.unwrap() else {
        panic!("opened in the millisecond of the cutoff");
    };
    assert!(at > cutoff);
    let token = user.login_since(&store, after, None).await.unwrap();
    user.next(&store, &token).await;
    let client = Revocation::new(
        Dimension::Client,
        ISSUER,
        CLIENT,
        Placement::Wide,
        Reach::Forever,
    );
    store.revoke(&[client]).await.unwrap();
    let revoked = user.login_since(&store, after, None).await;
    assert_eq!(revoked, Err(Opened::Revoked(1)));
}

#[tokio::test]
async fn a_session_is_dated_by_the_stores_clock_or_not_opened() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    let seconds = Duration::from_secs;
    for (at, is_right) in [
        (now.saturating_sub(seconds(50)), true),
        (now.saturating_sub(seconds(61)), false),
        (now.saturating_add(seconds(4)), true),
        (now.saturating_add(seconds(60)), false),
    ] {
        let session = SessionId::opened_at(at);
        let record = user.record(&session, at);
        let since = at.min(now);
        let opened = user.open_with(&store, &session, &record, since, None).await;
        match opened.unwrap() {
            Opened::Opened(_) => assert!(is_right, "{at}"),
            Opened::OpenAt(right) => {
                assert!(!is_right, "{at}");
                assert!(right >= now && right < now.saturating_add(seconds(60)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_opening_is_repeated_and_never_taken_over() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    let session = SessionId::opened_at(now);
    let record = user.record(&session, now);
    for _ in 0..2 {
        let opened = user.open_with(&store, &session, &record, now, None).await;
        assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
    }
    let taken = user.record(&session, now);
    let opened = user.open_with(&store, &session, &taken, now, None).await;
    assert!(matches!(opened, Ok(Opened::OpenAt(_))), "{opened:?}");
    assert_eq!(user.list(&store).await, [(session.clone(), record.clone())]);
    user.end(&store, &session).await;
    let opened = user.open_with(&store, &session, &record, now, None).await;
    assert!(matches!(opened, Ok(Opened::Stale)), "{opened:?}");
    let foreign = "{not}ours".into();
    let opened = user.open_with(&store, &foreign, &record, now, None).await;
    assert!(matches!(opened, Err(StoreError::Failed { .. })));
}

#[tokio::test]
async fn s15_a_cap_ends_the_oldest_or_refuses_and_counts_the_living_only() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let cap = |limit, when_full| Some(SessionCap { limit, when_full });
    let login = |cap| {
        let (user, store) = (user.clone(), store.clone());
        async move {
            // Each in a millisecond of its own, so that one is the oldest.
            let before = store.now(user.shard()).await.unwrap();
            until("the clock goes on", || async {
                store.now(user.shard()).await.unwrap() > before
            })
            .await;
            let now = store.now(user.shard()).await.unwrap();
            user.login_since(&store, now, cap).await
        }
    };
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(login(cap(3, WhenFull::EvictOldest)).await.unwrap());
    }
    let living: Vec<_> = tokens[2..].iter().map(|t| t.session.clone()).collect();
    assert_eq!(user.sessions(&store).await, living);
    for token in &tokens[..2] {
        assert_eq!(user.refresh(&store, token).await, Outcome::Ended);
    }
    let full = login(cap(3, WhenFull::Refuse)).await;
    assert_eq!(full, Err(Opened::Full));
    user.end(&store, &living[1]).await;
    tokens.push(login(cap(3, WhenFull::Refuse)).await.unwrap());
    // A lower cap ends as many as it must.
    login(cap(1, WhenFull::EvictOldest)).await.unwrap();
    assert_eq!(user.sessions(&store).await.len(), 1);
    // What a cutoff covers does not count.
    for _ in 0..5 {
        login(None).await.unwrap();
    }
    store.revoke(&[user.revocation()]).await.unwrap();
    login(cap(1, WhenFull::Refuse)).await.unwrap();
    let full = login(cap(1, WhenFull::Refuse)).await;
    assert_eq!(full, Err(Opened::Full));
    // Neither does what has lost its record.
    let (last, _) = user.list(&store).await.pop().unwrap();
    let key = server.cli(&["KEYS", &format!("*:session:{last}")]);
    server.cli(&["DEL", &key]);
    login(cap(1, WhenFull::Refuse)).await.unwrap();
}

#[tokio::test]
async fn r10_a_user_who_logs_in_and_out_for_ever_fills_nothing() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut user = User::new("alice");
    for n in 0..400_u64 {
        let token = user.login(&store).await;
        match n % 3 {
            0 => drop(user.end(&store, &token.session).await),
            1 => drop(store.revoke(&[user.revocation()]).await.unwrap()),
            // Expires at once, and nobody ends it.
            _ => user.policy.idle_lifetime = Duration::from_millis(n % 2 * 60_000),
        }
    }
    let index = server.cli(&["KEYS", "*:user:*"]);
    let count: usize = server.cli(&["ZCARD", &index]).parse().unwrap();
    assert!(count <= 210, "{count}");
}

#[tokio::test]
async fn s15_two_thousand_sessions_are_listed_and_ended_together() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let now = store.now(user.shard()).await.unwrap();
    // More than a page in one millisecond.
    let mut sessions = Vec::new();
    for n in 0..2_200 {
        let at = Timestamp::from_millis(now.as_millis() - u64::from(n > 1_500));
        let session = SessionId::opened_at(at);
        let record = user.record(&session, at);
        let opened = user.open_with(&store, &session, &record, at, None).await;
        assert_eq!(opened.unwrap(), Opened::Opened(vec![]));
        sessions.push(session);
    }
    sessions.sort();
    let mut listed = user.sessions(&store).await;
    listed.sort();
    assert!(listed == sessions, "{} listed", listed.len());
    let ended = user.end_others(&store, &sessions[0]).await;
    assert_eq!(ended.len(), 2_199);
    assert_eq!(user.sessions(&store).await, sessions[..1]);
}

#[tokio::test]
async fn sessions_live_in_a_cluster() {
    let cluster = RedisCluster::start(3);
    let store = connect(&cluster.url()).await;
    let other = connect(&cluster.url()).await;
    for n in 0..40 {
        let user = User::strict(&format!("user-{n}"));
        let (stolen, kept) = (user.login(&store).await, user.login(&store).await);
        let evicted = user.login(&store).await;
        user.end_others(&other, &kept.session).await;
        user.mark(&store).await;
        assert_eq!(user.refresh(&other, &evicted).await, Outcome::Ended);
        let kept = user.next(&other, &kept).await;
        assert_eq!(
            user.sessions(&store).await,
            std::slice::from_ref(&kept.session)
        );
        let spent = kept.clone();
        let live = user.next(&store, &kept).await;
        assert_eq!(user.refresh(&other, &spent).await, Outcome::Reused);
        for token in [stolen, live] {
            assert_eq!(user.refresh(&store, &token).await, Outcome::Ended);
        }
        let one = SessionCap {
            limit: 1,
            when_full: WhenFull::EvictOldest,
        };
        for _ in 0..3 {
            let now = store.now(user.shard()).await.unwrap();
            user.login_since(&store, now, Some(one)).await.unwrap();
        }
        assert_eq!(user.sessions(&store).await.len(), 1);
    }
}
