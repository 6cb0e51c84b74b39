//! Two processes that revoke, check and refresh without a pause, and keep the books.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jwt_revoke_core::{
    revocation::Digest,
    session::Outcome,
    store::{RedisStore, Store as _},
};
use tokio::task::JoinSet;

use crate::{
    asked, mirrored, subject, until,
    user::{Held, User, held},
};

/// What goes on until it is stopped.
pub(crate) struct Load {
    books: Arc<Books>,
    tasks: JoinSet<()>,
}

/// What was done so far.
#[derive(Default)]
pub(crate) struct Books {
    stopped: AtomicBool,
    /// What was acknowledged, and in which shard.
    acknowledged: Mutex<Vec<(u8, Digest)>>,
    /// How often each part got somewhere: revocations in a shard, refreshes of a user.
    done: Mutex<HashMap<String, u64>>,
    pub(crate) refused: AtomicU64,
    pub(crate) checked: AtomicU64,
    /// How many strict checks could not tell all.
    pub(crate) unknown: AtomicU64,
}

impl Load {
    /// `writer` revokes in `shards` and refreshes the sessions of `users`, which are logged in; both check.
    pub(crate) fn start(
        writer: &RedisStore,
        reader: &RedisStore,
        users: Vec<(User, Held)>,
        shards: &[u8],
    ) -> Self {
        let books = Arc::new(Books::default());
        let mut tasks = JoinSet::new();
        for at in shards {
            tasks.spawn(revoke(Arc::clone(&books), writer.clone(), *at));
        }
        for (user, token) in users {
            tasks.spawn(refresh(Arc::clone(&books), writer.clone(), user, token));
        }
        for store in [writer, reader] {
            tasks.spawn(check(Arc::clone(&books), store.clone()));
        }
        Self { books, tasks }
    }

    /// Waits until every part got somewhere several times from now on.
    pub(crate) async fn until_all_goes_on(&mut self) {
        let before = self.books.done.lock().unwrap().clone();
        let missing = || {
            let now = self.books.done.lock().unwrap();
            let stuck = now.iter().filter(|(part, count)| {
                **count < before.get(*part).copied().unwrap_or_default() + 3
            });
            stuck.map(|(part, _)| part.clone()).collect::<Vec<_>>()
        };
        let goes_on = until("all goes on", || async { missing().is_empty() });
        tokio::select! {
            () = goes_on => {}
            // A part ends early only if it failed.
            Some(ended) = self.tasks.join_next() => panic!("{ended:?}"),
        }
    }

    /// Waits until as much was acknowledged, and checked, as proves something.
    pub(crate) async fn until_enough(&self) {
        until("enough was done", || async {
            let acknowledged = self.books.acknowledged.lock().unwrap().len();
            acknowledged > 200 && self.books.checked.load(Ordering::Relaxed) > 200
        })
        .await;
    }

    /// Ends it, and returns what was acknowledged.
    pub(crate) async fn stop(mut self) -> (Vec<(u8, Digest)>, Arc<Books>) {
        self.books.stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let acknowledged = self.books.acknowledged.lock().unwrap().clone();
        (acknowledged, self.books)
    }
}

impl Books {
    fn go_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    fn count(&self, part: &str, by: u64) {
        let mut done = self.done.lock().unwrap();
        *done.entry(part.to_owned()).or_default() += by;
    }
}

async fn revoke(books: Arc<Books>, store: RedisStore, at: u8) {
    let part = format!("shard {at}");
    books.count(&part, 0);
    let mut next = 0_u64;
    while books.go_on() {
        next += 1;
        let revocation = subject(&format!("load-{next}"), at);
        match store.revoke(std::slice::from_ref(&revocation)).await {
            Ok(_) => {
                let mut acknowledged = books.acknowledged.lock().unwrap();
                acknowledged.push((at, revocation.digest));
                drop(acknowledged);
                books.count(&part, 1);
            }
            Err(_) => {
                books.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// A client that presents its last token again when it got no answer.
async fn refresh(books: Arc<Books>, store: RedisStore, user: User, mut token: Held) {
    let part = format!("user {}", user.name.as_str());
    books.count(&part, 0);
    while books.go_on() {
        match user.try_refresh(&store, &token).await {
            // What was lost is caught up with, what was answered in vain is answered again.
            Ok(
                Outcome::Rotated(identity)
                | Outcome::Retried(identity)
                | Outcome::Recovered(identity),
            ) => {
                token = held(&token.session, &identity);
                books.count(&part, 1);
            }
            Ok(other) => panic!("{part} at {token:?}: {other:?}"),
            Err(_) => {
                books.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whatever was acknowledged and is known here is never "not revoked".
async fn check(books: Arc<Books>, store: RedisStore) {
    let mut known: Vec<(u8, Digest)> = Vec::new();
    let mut seen = 0;
    let mut turn = 0_usize;
    while books.go_on() {
        let new = books.acknowledged.lock().unwrap()[seen..].to_vec();
        for (at, digest) in new {
            // In order: what has not come yet is looked for again.
            if mirrored(&store, at, digest).highest().is_none() {
                break;
            }
            known.push((at, digest));
            seen += 1;
        }
        // The latest, which a failover may lose, and the others in turn.
        turn = turn.wrapping_add(7);
        let picks = known
            .iter()
            .rev()
            .take(4)
            .chain(known.iter().skip(turn % known.len().max(1)).take(4));
        for (at, digest) in picks {
            assert_ne!(
                mirrored(&store, *at, *digest).highest(),
                None,
                "{digest} revived"
            );
            let (found, whole) = asked(&store, *at, *digest).await;
            assert!(found.is_some(), "{digest} revived (whole: {whole})");
            books.checked.fetch_add(1, Ordering::Relaxed);
            books
                .unknown
                .fetch_add(u64::from(!whole), Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
