//! What becomes of sessions in a crash, and when they leave.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jwt_revoke_core::{
    FakeClock, Timestamp, defaults,
    revocation::{Digest, Dimension},
    session::{AttemptId, Outcome, Policy, Presented, SessionCap, WhenFull},
    store::{EmbeddedStore, Opened, Store as _},
};
use jwt_revoke_tests::{
    sessions::{Ask, Line, User, handed, list, strict, token},
    store_suite::ISSUER,
};

use crate::child::{self, Job, Running, say};

/// The work of a child that is killed at some moment.
pub(crate) async fn rotate(store: EmbeddedStore, tag: String) {
    let tasks = (0..4).map(|task| {
        let store = store.clone();
        let user = User::new(&format!("{tag}-{task}"));
        tokio::spawn(async move {
            for n in 0.. {
                live_a_session(&store, &user, n % 2 == 0).await;
            }
        })
    });
    futures::future::join_all(tasks).await;
}

async fn live_a_session(store: &EmbeddedStore, user: &User, ends: bool) {
    let since = store.now(user.shard).await.unwrap();
    let line = Line::new(user, since, &Policy::default());
    let sid = line.session.as_str();
    say("open", &written(&line));
    assert_eq!(line.ask(store, since, None).await, Opened::Opened(vec![]));
    say("opened", sid);
    let mut presented = line.first();
    for _ in 0..4 {
        let ask = Ask::new(strict());
        say("try", &format!("{sid} {}", written_ask(&presented, &ask)));
        let outcome = line.rotate(store, &presented, &ask).await;
        presented = handed(&outcome).unwrap();
        say("ack", sid);
    }
    if ends {
        say("end", sid);
        assert_eq!(
            line.end(store, user).await,
            std::slice::from_ref(&line.session)
        );
        say("ended", sid);
    }
}

fn written(line: &Line) -> String {
    let record = &line.record;
    format!(
        "{} {} {} {} {} {}",
        line.session.as_str(),
        line.user.subject.as_str(),
        record.opened_at.as_millis(),
        record.current.refresh,
        record.current.access,
        record.attempt.unwrap().bits(),
    )
}

fn read(written: &str) -> Line {
    let words: Vec<_> = written.split(' ').collect();
    let opened_at = Timestamp::from_millis(words[2].parse().unwrap());
    let mut line = Line::new(&User::new(words[1]), opened_at, &Policy::default());
    line.session = words[0].into();
    line.entry = Digest::of(&Dimension::Session, ISSUER, words[0].as_bytes());
    line.record.entry = line.entry;
    line.record.current.refresh = words[3].into();
    line.record.current.access = words[4].into();
    line.record.attempt = Some(AttemptId::from_bits(words[5].parse().unwrap()));
    line
}

fn written_ask(presented: &Presented, ask: &Ask) -> String {
    format!(
        "{} {} {} {} {}",
        presented.generation,
        presented.jti,
        ask.attempt.bits(),
        ask.proposal.refresh,
        ask.proposal.access,
    )
}

fn read_ask(words: &[&str]) -> (Presented, Ask) {
    let presented = token(words[0].parse().unwrap(), words[1]);
    let mut ask = Ask::new(strict());
    ask.attempt = AttemptId::from_bits(words[2].parse().unwrap());
    ask.proposal.refresh = words[3].into();
    ask.proposal.access = words[4].into();
    (presented, ask)
}

/// What a client knows of its session after the crash.
struct Client {
    line: Line,
    /// The last step, and whether it was acknowledged.
    last: Last,
    acknowledged: bool,
}

enum Last {
    Open,
    Try(Presented, Ask),
    End,
}

#[test]
fn r9_kill_at_any_moment_loses_no_rotation_and_a_retry_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut dice = crate::crash::Dice::new();
    let seed = dice.seed();
    let (mut pending, mut survived) = (0, 0);
    for round in 0..30 {
        let mut child = Running::start(child::command(Job::Rotate, &path, &round.to_string()));
        let mut clients = HashMap::new();
        let lines = 2 + dice.roll(150);
        for _ in 0..lines {
            let (word, rest) = child.said().unwrap();
            hear(&mut clients, &word, &rest);
        }
        child.kill();
        while let Some((word, rest)) = child.said() {
            hear(&mut clients, &word, &rest);
        }
        let store = EmbeddedStore::open(&path).unwrap();
        for client in clients.values() {
            let when = format!("round {round} of seed {seed}, {}", client.line.session);
            runtime.block_on(go_on(&store, client, &when));
            pending += u32::from(!client.acknowledged);
            survived += u32::from(client.acknowledged);
        }
    }
    assert!(pending > 20 && survived > 20, "{pending} {survived}");
}

fn hear(clients: &mut HashMap<String, Client>, word: &str, rest: &str) {
    let words: Vec<_> = rest.split(' ').collect();
    if word == "opened" && rest == "it" {
        return;
    }
    if word == "open" {
        let client = Client {
            line: read(rest),
            last: Last::Open,
            acknowledged: false,
        };
        clients.insert(words[0].to_owned(), client);
        return;
    }
    let client = clients.get_mut(words[0]).unwrap();
    client.acknowledged = matches!(word, "opened" | "ack" | "ended");
    match word {
        "try" => {
            let (presented, ask) = read_ask(&words[1..]);
            client.last = Last::Try(presented, ask);
        }
        "end" => client.last = Last::End,
        "opened" | "ack" | "ended" => {}
        other => panic!("{other} {rest}"),
    }
}

/// What a client does after a crash: the last step once more, and then the next.
async fn go_on(store: &EmbeddedStore, client: &Client, when: &str) {
    let Client {
        line,
        last,
        acknowledged,
    } = client;
    let is_listed = |listed: Vec<(_, _)>| listed.iter().any(|(sid, _)| *sid == line.session);
    let before = is_listed(list(store, &line.user).await);
    let presented = match last {
        Last::Open => {
            assert!(before || !acknowledged, "{when}");
            let opened = line.ask(store, line.record.opened_at, None).await;
            assert_eq!(opened, Opened::Opened(vec![]), "{when}");
            line.first()
        }
        Last::Try(presented, ask) => {
            assert!(before, "{when}");
            if *acknowledged {
                // It is there without being asked for again.
                let listed = list(store, &line.user).await;
                let found = listed.iter().find(|(sid, _)| *sid == line.session);
                let current = &found.unwrap().1.current;
                assert_eq!(current.refresh, ask.proposal.refresh, "{when}");
            }
            let outcome = line.rotate(store, presented, ask).await;
            let Outcome::Rotated(identity) = &outcome else {
                panic!("{outcome:?}, {when}");
            };
            assert_eq!(identity.generation, presented.generation + 1, "{when}");
            assert_eq!(identity.refresh, ask.proposal.refresh, "{when}");
            handed(&outcome).unwrap()
        }
        Last::End => {
            assert!(!before || !acknowledged, "{when}");
            let ended = line.end(store, &line.user).await;
            assert_eq!(ended.len(), usize::from(before), "{when}");
            let outcome = line.rotate(store, &line.first(), &Ask::new(strict())).await;
            assert_eq!(outcome, Outcome::Ended, "{when}");
            assert!(!is_listed(list(store, &line.user).await), "{when}");
            return;
        }
    };
    let outcome = line.rotate(store, &presented, &Ask::new(strict())).await;
    assert!(
        matches!(outcome, Outcome::Rotated(_)),
        "{outcome:?}, {when}"
    );
}

#[tokio::test]
async fn s15_sessions_leave_memory_and_file_after_their_last_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(Timestamp::from_seconds(1_790_000_000)));
    let open = || {
        EmbeddedStore::builder()
            .with_clock(clock.clone())
            .open(&path)
    };
    let store = open().unwrap();
    let user = User::new("alice");
    let mut policy = strict();
    policy.idle_lifetime = Duration::from_secs(3600);
    let mut lines = Vec::new();
    for n in 0..(defaults::PURGE_SLICE + 100) {
        let now = store.now(user.shard).await.unwrap();
        let line = Line::new(&User::new(&n.to_string()), now, &policy);
        lines.push(line);
    }
    let since = store.now(user.shard).await.unwrap();
    futures::future::join_all(lines.iter().map(|line| line.ask(&store, since, None))).await;
    assert_eq!(store.stats().sessions, lines.len() as u64);

    // One is used, and so lives on.
    clock.advance(policy.idle_lifetime / 2);
    let used = &lines[7];
    let ask = Ask::new(policy);
    let outcome = used.rotate(&store, &used.first(), &ask).await;
    assert!(matches!(outcome, Outcome::Rotated(_)));
    clock.advance(policy.idle_lifetime / 2 + defaults::HORIZON_MARGIN - Duration::from_secs(1));
    assert_eq!(store.purge().await.unwrap(), 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!(store.purge().await.unwrap(), lines.len() - 1);
    assert_eq!(store.stats().sessions, 1);
    assert_eq!(store.purge().await.unwrap(), 0);
    let again = used.rotate(&store, &used.first(), &ask).await;
    assert_eq!(again, outcome);

    drop(store);
    let store = open().unwrap();
    assert_eq!(store.stats().sessions, 1);
    clock.advance(policy.idle_lifetime);
    // The writer may have been faster, since it looks at the start.
    store.purge().await.unwrap();
    assert_eq!(store.stats().sessions, 0);
    let outcome = used.rotate(&store, &used.first(), &ask).await;
    assert_eq!(outcome, Outcome::Unknown);
    drop(store);
    assert_eq!(rows(&path), [0, 0, 0]);
}

#[tokio::test]
async fn s15_a_file_does_not_grow_with_rotations_and_ended_sessions_leave_an_entry_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let user = User::new("alice");
    let since = store.now(user.shard).await.unwrap();
    let line = Line::new(&user, since, &strict());
    line.ask(&store, since, None).await;
    let mut presented = line.first();
    for _ in 0..100 {
        let outcome = line.rotate(&store, &presented, &Ask::new(strict())).await;
        presented = handed(&outcome).unwrap();
    }
    drop(store);
    assert_eq!(rows(&path), [1, 1, 1]);
    let store = EmbeddedStore::open(&path).unwrap();
    line.end(&store, &user).await;
    assert_eq!(store.stats().entries, 1);
    drop(store);
    assert_eq!(rows(&path), [0, 0, 0]);
}

#[tokio::test]
async fn people_read_why_a_session_ended() {
    let store = EmbeddedStore::in_memory();
    let user = User::new("alice");
    let since = store.now(user.shard).await.unwrap();
    let line = Line::new(&user, since, &strict());
    line.ask(&store, since, None).await;
    for _ in 0..2 {
        line.rotate(&store, &line.first(), &Ask::new(strict()))
            .await;
    }
    let since = store.now(user.shard).await.unwrap();
    let second = Line::new(&user, since, &strict());
    second.ask(&store, since, None).await;
    second.end(&store, &user).await;
    let read = store.audit(10).await.unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|entry| (&*entry.dimension, &*entry.value, entry.cause.as_deref()))
        .collect();
    let expected = [
        ("session", second.session.as_str(), Some("logout")),
        ("subject", "alice", Some("reuse")),
        ("session", line.session.as_str(), Some("reuse")),
    ];
    assert_eq!(told, expected);
    assert!(read.iter().all(|entry| &*entry.issuer == ISSUER));
}

/// How many rows the tables of sessions have in a closed file.
fn rows(path: &std::path::Path) -> [u64; 3] {
    use redb::{ReadableDatabase as _, ReadableTableMetadata as _, TableHandle as _};
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    ["sessions", "session_users", "session_due"].map(|name| {
        let mut tables = transaction.list_tables().unwrap();
        let table = tables.find(|table| table.name() == name).unwrap();
        transaction
            .open_untyped_table(table)
            .unwrap()
            .len()
            .unwrap()
    })
}

#[tokio::test]
async fn i5_a_session_dated_ahead_is_covered_by_the_next_cutoff_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let clock = Arc::new(FakeClock::new(Timestamp::from_seconds(1_790_000_000)));
    let open = || {
        EmbeddedStore::builder()
            .with_clock(clock.clone())
            .open(&path)
    };
    for restarts in [false, true] {
        let mut store = open().unwrap();
        let user = User::new("alice");
        let since = store.now(user.shard).await.unwrap();
        // As far as a cutoff may have pushed it.
        let opened_at = since.saturating_add(defaults::MAX_CUTOFF_AHEAD);
        let line = Line::new(&user, opened_at, &strict());
        assert_eq!(line.ask(&store, since, None).await, Opened::Opened(vec![]));
        if restarts {
            drop(store);
            store = open().unwrap();
        }
        store.revoke(&[user.revocation()]).await.unwrap();
        let outcome = line
            .rotate(&store, &line.first(), &Ask::new(strict()))
            .await;
        assert_eq!(outcome, Outcome::Ended, "{restarts}");
        // The cutoff lies ahead too, and has to pass.
        clock.advance(2 * defaults::MAX_CUTOFF_AHEAD);
    }
}

#[tokio::test]
async fn r76_who_logs_in_and_out_everywhere_for_ever_reads_few_records() {
    for cap in [None, Some(100)] {
        let user = User::new(&format!("alice-{cap:?}"));
        let cap = cap.map(|limit| SessionCap {
            limit,
            when_full: WhenFull::EvictOldest,
        });
        let clock = Arc::new(FakeClock::new(Timestamp::from_seconds(1_790_000_000)));
        let store = EmbeddedStore::builder()
            .with_clock(clock.clone())
            .in_memory();
        for _ in 0..1_000 {
            clock.advance(Duration::from_millis(10));
            let since = store.now(user.shard).await.unwrap();
            let line = Line::new(&user, since, &strict());
            assert_eq!(line.ask(&store, since, cap).await, Opened::Opened(vec![]));
            store.revoke(&[user.revocation()]).await.unwrap();
            // With or without a record, and whatever is cleared.
            let outcome = line
                .rotate(&store, &line.first(), &Ask::new(strict()))
                .await;
            assert_eq!(outcome, Outcome::Ended);
        }
        let kept = store.stats().sessions;
        assert!(kept <= 250, "{kept} of 1000 records are kept");
    }
}
