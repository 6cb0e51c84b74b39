//! Many callers at once.

use std::sync::Arc;

use futures::future::join_all;
use jwt_revoke_core::{
    revocation::Digest,
    session::{Outcome, SessionCap, WhenFull},
    store::{Lookup, Opened, RedisStore, Store},
};
use jwt_revoke_tests::redis_server::RedisServer;
use tokio::{sync::Barrier, task::JoinHandle};

use crate::{
    connect,
    user::{Held, User, entry, held},
};

/// Refreshes in a task of its own, when all are ready.
fn racer(
    user: &User,
    store: &RedisStore,
    token: &Held,
    start: &Arc<Barrier>,
) -> JoinHandle<Outcome> {
    let (user, store, token) = (user.clone(), store.clone(), token.clone());
    let start = Arc::clone(start);
    tokio::spawn(async move {
        start.wait().await;
        user.refresh(&store, &token).await
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s1_of_fifty_concurrent_refreshes_one_wins_and_all_get_its_successor() {
    let server = RedisServer::start();
    let stores = [connect(&server.url()).await, connect(&server.url()).await];
    let user = User::new("alice");
    let mut token = user.login(&stores[0]).await;
    for round in 0..300 {
        let start = Arc::new(Barrier::new(50));
        let racers: Vec<_> = (0..50)
            .map(|n| racer(&user, &stores[n % 2], &token, &start))
            .collect();
        let (mut rotated, mut successors) = (0, Vec::new());
        for outcome in join_all(racers).await {
            match outcome.unwrap() {
                Outcome::Rotated(identity) => {
                    rotated += 1;
                    successors.push(identity);
                }
                Outcome::Retried(identity) => successors.push(identity),
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!((rotated, successors.len()), (1, 50), "round {round}");
        successors.dedup();
        assert_eq!(successors.len(), 1, "round {round}");
        token = held(&token.session, &successors[0]);
    }
    user.next(&stores[1], &token).await;
    assert_eq!(server.cli(&["KEYS", "*:deny:*"]), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_without_a_grace_one_wins_and_the_session_ends_for_all() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::strict("alice");
    for round in 0..200 {
        let token = user.login(&store).await;
        let start = Arc::new(Barrier::new(8));
        let racers: Vec<_> = (0..8)
            .map(|_| racer(&user, &store, &token, &start))
            .collect();
        let outcomes: Vec<_> = join_all(racers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count();
        assert_eq!(
            count(|o| matches!(o, Outcome::Rotated(_))),
            1,
            "{round}: {outcomes:?}"
        );
        assert_eq!(count(|o| *o == Outcome::Reused), 1, "{round}: {outcomes:?}");
        // Within this process even the winner's token is refused from memory; the others ask.
        assert_eq!(count(|o| *o == Outcome::Ended), 6, "{round}: {outcomes:?}");
    }
}

/// Whether an access token of the session that was handed out would be accepted.
async fn is_alive(store: &RedisStore, user: &User, token: &Held) -> bool {
    let digests: [Digest; 2] = [entry(&token.session), user.digest()];
    let query = Lookup::new(user.shard(), &digests);
    let found = store.lookup(&query).await.unwrap();
    found.covering(token.session.instant().unwrap()).is_none()
}

/// Rotates whatever it is handed, until it is refused.
async fn rotate_on(user: User, store: RedisStore, token: Held, start: Arc<Barrier>) -> Vec<Held> {
    let mut handed = vec![token];
    start.wait().await;
    loop {
        let token = &handed[handed.len() - 1];
        match user.refresh(&store, token).await {
            Outcome::Rotated(identity) => handed.push(held(&token.session, &identity)),
            Outcome::Ended => return handed,
            other => panic!("{other:?}"),
        }
    }
}

async fn no_survivor(user: &User, store: &RedisStore, handed: &[Held], round: u32) {
    for token in handed {
        assert_eq!(
            user.refresh(store, token).await,
            Outcome::Ended,
            "{round}: {token:?}"
        );
        assert!(!is_alive(store, user, token).await, "{round}: {token:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_nothing_survives_a_revocation_of_the_user_that_races_rotations() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    for round in 0..1_000 {
        let user = User::new(&format!("alice-{}", round % 50));
        let start = Arc::new(Barrier::new(4));
        let mut racers = Vec::new();
        for _ in 0..3 {
            let token = user.login(&store).await;
            racers.push(tokio::spawn(rotate_on(
                user.clone(),
                store.clone(),
                token,
                Arc::clone(&start),
            )));
        }
        start.wait().await;
        other.revoke(&[user.revocation()]).await.unwrap();
        for racer in racers {
            no_survivor(&user, &other, &racer.await.unwrap(), round).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_nothing_survives_reuse_that_races_rotations_of_other_sessions() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    for round in 0..1_000 {
        let user = User::strict(&format!("alice-{}", round % 50));
        let stolen = user.login(&store).await;
        user.next(&store, &stolen).await;
        let start = Arc::new(Barrier::new(3));
        let mut racers = Vec::new();
        for _ in 0..2 {
            let token = user.login(&store).await;
            racers.push(tokio::spawn(rotate_on(
                user.clone(),
                store.clone(),
                token,
                Arc::clone(&start),
            )));
        }
        start.wait().await;
        assert_eq!(user.refresh(&other, &stolen).await, Outcome::Reused);
        for racer in racers {
            no_survivor(&user, &other, &racer.await.unwrap(), round).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_a_login_that_races_a_revocation_of_the_user_is_dead_or_whole() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    for round in 0..500 {
        let user = User::new(&format!("alice-{}", round % 50));
        let since = store.now(user.shard()).await.unwrap();
        let logins = (0..3).map(|_| {
            let (user, store) = (user.clone(), store.clone());
            tokio::spawn(async move { user.login_since(&store, since, None).await })
        });
        let logins: Vec<_> = logins.collect();
        let cutoff = other.revoke(&[user.revocation()]).await.unwrap().at;
        assert!(cutoff >= since);
        for login in logins {
            match login.await.unwrap() {
                // It began before the revocation, so it must not outlive it.
                Ok(token) => no_survivor(&user, &other, &[token], round).await,
                Err(refused) => assert_eq!(refused, Opened::Stale),
            }
        }
        let after = store.now(user.shard()).await.unwrap();
        let after = after.max(cutoff.saturating_add(std::time::Duration::from_millis(1)));
        let token = user.login_since(&store, after, None).await.unwrap();
        user.next(&store, &token).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_session_that_is_ended_while_it_rotates_is_dead() {
    let server = RedisServer::start();
    let (store, other) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::new("alice");
    for round in 0..300 {
        let token = user.login(&store).await;
        let start = Arc::new(Barrier::new(2));
        let racer = tokio::spawn(rotate_on(
            user.clone(),
            store.clone(),
            token.clone(),
            Arc::clone(&start),
        ));
        start.wait().await;
        if round % 2 == 0 {
            assert_eq!(user.end(&other, &token.session).await.len(), 1);
        } else {
            let revocation = user.session_revocation(&token.session);
            other.revoke(&[revocation]).await.unwrap();
        }
        no_survivor(&user, &other, &racer.await.unwrap(), round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_concurrent_logins_all_live_and_keep_to_the_cap() {
    let server = RedisServer::start();
    let store = connect(&server.url()).await;
    let user = User::new("alice");
    let logins = |count: u32, cap| {
        let logins = (0..count).map(|_| {
            let (user, store) = (user.clone(), store.clone());
            tokio::spawn(async move {
                let now = store.now(user.shard()).await.unwrap();
                user.login_since(&store, now, cap).await.unwrap()
            })
        });
        join_all(logins.collect::<Vec<_>>())
    };
    for token in logins(20, None).await {
        user.next(&store, &token.unwrap()).await;
    }
    assert_eq!(user.sessions(&store).await.len(), 20);
    let cap = SessionCap {
        limit: 5,
        when_full: WhenFull::EvictOldest,
    };
    logins(20, Some(cap)).await;
    assert_eq!(user.sessions(&store).await.len(), 5);
}
