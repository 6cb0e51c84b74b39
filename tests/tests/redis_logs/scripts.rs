//! Scripts that fail in their middle: whatever is missing, a right or a key of the right type, the same step
//! taken once more leaves the whole, in the store, in every copy, and in what is reported.

use std::collections::BTreeSet;

use jwt_revoke_core::{
    revocation::{Digest, Dimension, Shard},
    session::{Outcome, SessionCap, WhenFull},
    store::{Opened, Reach, RedisStore, Store as _, StoreError, Transition},
    token::SessionId,
};
use jwt_revoke_tests::{
    patience::until,
    redis_server::RedisServer,
    redis_store::{connect_for_tokens, patient_builder as builder},
    sessions::{Ask, Line, NOW, User, Verb, handed, strict},
};

use crate::{SHARD, connect, hex, key, until_all_are_mirrored};

const DOCUMENTS: &str = include_str!("../../../docs/redis.md");

/// What is taken away for one attempt.
#[derive(Clone, Debug)]
enum Break {
    /// The right to a command.
    Right(String),
    /// A key of the shard, in whose place another type stands.
    Shard(&'static str),
    /// The same of a key that names the user, or the session: what stands before it.
    User(&'static str),
    Session(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    RevokeSession,
    RevokeUser,
    RevokeKey,
    End,
    EndOthers,
    Reuse,
    Fork,
    Evict,
}

const STEPS: [Step; 8] = [
    Step::RevokeSession,
    Step::RevokeUser,
    Step::RevokeKey,
    Step::End,
    Step::EndOthers,
    Step::Reuse,
    Step::Fork,
    Step::Evict,
];

/// The rights that the documents name.
fn rights() -> Vec<String> {
    let line = DOCUMENTS
        .lines()
        .find(|line| line.starts_with("ACL SETUSER jr"));
    let rights = line
        .unwrap()
        .split(' ')
        .filter_map(|word| word.strip_prefix('+'));
    rights.map(str::to_owned).collect()
}

/// A new user of the shard.
fn user(number: &mut u32) -> User {
    loop {
        *number += 1;
        let user = User::new(&format!("user-{number}"));
        if user.shard == Shard::new(SHARD).unwrap() {
            return user;
        }
    }
}

async fn login(
    store: &RedisStore,
    user: &User,
    cap: Option<SessionCap>,
) -> Result<(Line, Vec<SessionId>), StoreError> {
    let now = store.now(user.shard).await?;
    let line = Line::new(user, now, &strict());
    match line.try_ask(store, now, cap).await? {
        Opened::Opened(ended) => Ok((line, ended)),
        other => panic!("{other:?}"),
    }
}

/// Two sessions of a user, and what a step is to end.
struct Story {
    user: User,
    first: Line,
    second: Line,
    /// A token of the first that was spent.
    spent: jwt_revoke_core::session::Presented,
    forged: jwt_revoke_core::session::Presented,
}

impl Story {
    async fn begin(store: &RedisStore, user: User) -> Self {
        let first = login(store, &user, None).await.unwrap().0;
        let spent = first.first();
        let outcome = first.rotate(store, &spent, &Ask::new(strict())).await;
        let mut forged = handed(&outcome).unwrap();
        forged.jti = "another".into();
        let second = login(store, &user, None).await.unwrap().0;
        Self {
            user,
            first,
            second,
            spent,
            forged,
        }
    }

    /// Takes the step. Returns what was reported to have ended.
    async fn take(&self, step: Step, store: &RedisStore) -> Result<BTreeSet<String>, StoreError> {
        let sessions = |ended: Vec<SessionId>| ended.iter().map(ToString::to_string).collect();
        let (first, user) = (&self.first, &self.user);
        let revoke = |dimension: Dimension, value: &str, reach| {
            let revocation = user.revocation_of(&dimension, value, reach);
            async move { store.revoke(&[revocation]).await.map(|_| BTreeSet::new()) }
        };
        match step {
            Step::RevokeSession => {
                revoke(Dimension::Session, first.session.as_str(), Reach::Forever).await
            }
            Step::RevokeUser => revoke(Dimension::Subject, user.subject.as_str(), NOW).await,
            Step::RevokeKey => revoke(Dimension::Key, user.subject.as_str(), Reach::Forever).await,
            Step::End => Ok(sessions(first.try_end(store, user).await?)),
            Step::EndOthers => {
                let ended = self.second.try_end_others(store).await?;
                Ok(sessions(
                    ended.expect("the session that stays has not ended"),
                ))
            }
            Step::Reuse | Step::Fork => {
                let token = if matches!(step, Step::Reuse) {
                    &self.spent
                } else {
                    &self.forged
                };
                let outcome = first
                    .present(store, token, &Ask::new(strict()), Verb::Rotate)
                    .await?;
                let reported = [Outcome::Reused, Outcome::Forked].contains(&outcome);
                Ok(reported
                    .then(|| first.session.to_string())
                    .into_iter()
                    .collect())
            }
            Step::Evict => {
                let when_full = WhenFull::EvictOldest;
                Ok(sessions(
                    login(
                        store,
                        user,
                        Some(SessionCap {
                            limit: 2,
                            when_full,
                        }),
                    )
                    .await?
                    .1,
                ))
            }
        }
    }

    /// What the step must have revoked.
    fn revoked(&self, step: Step) -> Vec<Digest> {
        match step {
            Step::RevokeUser => vec![self.user.digest],
            Step::RevokeKey => {
                let value = self.user.subject.as_str();
                vec![
                    self.user
                        .revocation_of(&Dimension::Key, value, Reach::Forever)
                        .digest,
                ]
            }
            Step::Reuse => vec![self.first.entry, self.user.digest],
            Step::EndOthers => vec![self.user.others, self.second.kept],
            _ => vec![self.first.entry],
        }
    }

    /// What must have been reported, by all attempts together.
    fn reported(&self, step: Step) -> BTreeSet<String> {
        match step {
            Step::RevokeSession | Step::RevokeUser | Step::RevokeKey => BTreeSet::new(),
            _ => BTreeSet::from([self.first.session.to_string()]),
        }
    }

    fn key(&self, broken: &Break) -> Option<String> {
        match broken {
            Break::Right(_) => None,
            Break::Shard(name) => Some(key(name)),
            Break::User(name) => Some(key(&format!("{name}:{}", hex(&self.user.digest)))),
            Break::Session("deny") => Some(key(&format!("deny:{}", hex(&self.first.entry)))),
            Break::Session(name) => Some(key(&format!("{name}:{}", self.first.session))),
        }
    }
}

fn break_it(server: &RedisServer, story: &Story, broken: &Break) {
    if let Break::Right(right) = broken {
        server.cli(&["ACL", "SETUSER", "jr", &format!("-{right}")]);
    } else if let Some(key) = story.key(broken) {
        server.cli(&["EVAL", BREAK, "2", &key, &format!("{key}:kept")]);
    }
}

fn restore(server: &RedisServer, story: &Story, broken: &Break) {
    if let Break::Right(right) = broken {
        server.cli(&["ACL", "SETUSER", "jr", &format!("+{right}")]);
    } else if let Some(key) = story.key(broken) {
        server.cli(&["EVAL", RESTORE, "2", &key, &format!("{key}:kept")]);
    }
}

const BREAK: &str = "
    if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
    redis.call('HSET', KEYS[1], 'another', 'type')";

/// What the store has put in its place meanwhile stays.
const RESTORE: &str = "
    if redis.call('TYPE', KEYS[1]).ok == 'hash' then redis.call('DEL', KEYS[1]) end
    if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('EXISTS', KEYS[1]) == 0 then
        redis.call('RENAME', KEYS[2], KEYS[1])
    end
    redis.call('DEL', KEYS[2])";

async fn each_step_is_whole_after(broken: Vec<Break>) {
    let server = RedisServer::start();
    let grant: Vec<_> = rights().iter().map(|right| format!("+{right}")).collect();
    let mut words = vec!["ACL", "SETUSER", "jr", "on", ">hunter2", "~jr:*", "-@all"];
    words.extend(grant.iter().map(String::as_str));
    assert_eq!(server.cli(&words), "OK");
    let settings = builder(&server.url())
        .with_username("jr")
        .with_password("hunter2");
    let store = connect_for_tokens(settings).await;
    let watcher = connect(&server.url()).await;
    let mut number = 0;
    for broken in broken {
        let mut all = Vec::new();
        for step in STEPS {
            let is_lost = matches!(broken, Break::User("user") | Break::Session("session"));
            if matches!(step, Step::Evict) && is_lost {
                // Which sessions there are is what is lost.
                continue;
            }
            let what = format!("{step:?} without {broken:?}");
            let story = Story::begin(&watcher, user(&mut number)).await;
            until("the store goes on", || async {
                store.ready().await.is_ok()
            })
            .await;
            break_it(&server, &story, &broken);
            let first = story.take(step, &store).await;
            restore(&server, &story, &broken);
            let mut reported = first.unwrap_or_default();
            until(&what, || async {
                store.now(story.user.shard).await.is_ok()
            })
            .await;
            let again = std::cell::RefCell::new(BTreeSet::new());
            until(&what, || async {
                match story.take(step, &store).await {
                    Ok(ended) => again.borrow_mut().extend(ended),
                    Err(StoreError::ShardLost { .. }) => return false,
                    Err(error) => panic!("{what}: {error}"),
                }
                true
            })
            .await;
            reported.extend(again.into_inner());
            let expected = story.reported(step);
            assert!(reported.is_superset(&expected), "{what}: {reported:?}");
            for digest in story.revoked(step) {
                let found = crate::strictly(&watcher, digest).await;
                assert!(found.is_some(), "{what}: nothing is revoked");
                until(&format!("{what}: in the other's copy"), || async {
                    let found = jwt_revoke_tests::redis_store::mirrored(&watcher, SHARD, digest);
                    found.is_some_and(|found| found.highest().is_some())
                })
                .await;
                all.push(digest);
            }
        }
        let new = connect(&server.url()).await;
        until_all_are_mirrored(&format!("without {broken:?}"), &new, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r52_a_step_that_a_missing_right_ends_in_its_middle_is_whole_when_it_is_repeated() {
    let rights = rights().into_iter();
    // What is needed at the start, or beside the scripts: without `EVAL` no answer is believed, whatever was done.
    let rights = rights.filter(|right| !right.contains('|') && right != "info" && right != "eval");
    each_step_is_whole_after(rights.map(Break::Right).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r52_a_step_that_a_key_of_another_type_ends_in_its_middle_is_whole_when_it_is_repeated() {
    let shard = ["log", "lasting", "audit", "healer", "relogger"].map(Break::Shard);
    let user = ["user", "deny"].map(Break::User);
    let session = ["session", "deny", "ended", "ending"].map(Break::Session);
    let broken = shard.into_iter().chain(user).chain(session);
    each_step_is_whole_after(broken.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r52_what_is_for_people_keeps_nothing_from_being_ended() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let mut number = 0;
    for step in STEPS {
        let story = Story::begin(&store, user(&mut number)).await;
        let audit = Break::Shard("audit");
        break_it(&server, &story, &audit);
        let reported = story.take(step, &store).await.unwrap();
        assert!(reported.is_superset(&story.reported(step)), "{step:?}");
        restore(&server, &story, &audit);
        // Nor does what was left in the place of one of the user's records.
        let story = Story::begin(&store, user(&mut number)).await;
        let record = key(&format!("session:{}", story.second.session));
        server.cli(&["DEL", &record]);
        server.cli(&["HSET", &record, "another", "type"]);
        let reported = story.take(step, &store).await.unwrap();
        if !matches!(step, Step::Evict) {
            assert!(reported.is_superset(&story.reported(step)), "{step:?}");
        }
        let listed = store
            .transition(&Transition::List(&story.user.index()))
            .await;
        assert!(listed.is_ok(), "{step:?}: {listed:?}");
    }
}
