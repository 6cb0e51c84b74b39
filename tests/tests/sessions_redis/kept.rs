//! The session that stays when the others of its user end: what a copy of the entries, a check of another
//! token and a shard that heals make of it.

use std::time::Duration;

use jwt_revoke_core::{
    guard::Consistency,
    revocation::Cutoffs,
    session::Outcome,
    store::{Lookup, RedisStore, Store, StoreError},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    redis_server::RedisServer,
};

use crate::{
    builder, connect,
    user::{EXCEPTION, Held, User, kept},
};

/// What covers the tokens of a session: as the store says, and as the copy in this process has it.
struct Covered {
    strictly: Result<Cutoffs, StoreError>,
    mirrored: Option<Result<Cutoffs, StoreError>>,
}

impl Covered {
    async fn ask(store: &RedisStore, user: &User, token: &Held) -> Self {
        let covering = user.covering_of(&token.session);
        let query = Lookup::new(user.shard(), &covering).with_exception(EXCEPTION);
        let max_staleness = Duration::MAX;
        let mirror = query.with_consistency(Consistency::Mirror { max_staleness });
        Self {
            mirrored: store.lookup_now(&mirror),
            strictly: store.lookup(&query).await,
        }
    }

    /// Whether either says, or knows all the same, that the session has ended.
    fn is_refused(&self, token: &Held) -> bool {
        let born_at = token.session.instant().unwrap();
        let known = |found: &Result<Cutoffs, StoreError>| match found {
            Ok(found) => *found,
            Err(error) => error.known(),
        };
        let mut answers = [&self.strictly].into_iter().chain(&self.mirrored);
        answers.any(|found| known(found).covering(born_at).is_some())
    }

    /// Whether both say so.
    fn is_dead(&self, token: &Held) -> bool {
        let born_at = token.session.instant().unwrap();
        let covers = |found: &Result<Cutoffs, StoreError>| {
            found
                .as_ref()
                .is_ok_and(|found| found.covering(born_at).is_some())
        };
        covers(&self.strictly) && self.mirrored.as_ref().is_some_and(covers)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r45_no_prefix_of_the_log_refuses_the_kept_session() {
    let server = RedisServer::start();
    let (writer, reader) = (connect(&server.url()).await, connect(&server.url()).await);
    let user = User::new("alice");
    let laptop = user.login(&writer).await;
    for round in 0..100 {
        let phone = user.login(&writer).await;
        let ending = async {
            user.end_others(&writer, &laptop.session).await;
        };
        let looking = async {
            // The end of the phone, found before the log was read, must not become that of the laptop.
            for _ in 0..20 {
                Covered::ask(&reader, &user, &phone).await;
                let kept = Covered::ask(&reader, &user, &laptop).await;
                assert!(!kept.is_refused(&laptop), "round {round}");
            }
        };
        tokio::join!(ending, looking);
        until("the others are dead", || async {
            let kept = Covered::ask(&reader, &user, &laptop).await;
            assert!(!kept.is_refused(&laptop), "round {round}");
            Covered::ask(&reader, &user, &phone).await.is_dead(&phone)
        })
        .await;
        let kept = Covered::ask(&writer, &user, &laptop).await;
        assert!(!kept.is_refused(&laptop), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r45_a_process_that_starts_later_knows_the_kept_session() {
    let server = RedisServer::start();
    let writer = connect(&server.url()).await;
    let user = User::new("alice");
    let (phone, laptop) = (user.login(&writer).await, user.login(&writer).await);
    user.end_others(&writer, &laptop.session).await;
    // The log is cut after the longest access token, and the kept session lives on: what spares it stands
    // beside the log, and the end of the others, which no token needs any more, does not.
    let digest = |digest: jwt_revoke_core::revocation::Digest| {
        String::from_utf8(digest.hex().to_vec()).unwrap()
    };
    let keys = server.cli(&["--scan", "--pattern", "*:lasting"]);
    let mut beside = String::new();
    for key in keys.lines() {
        beside += &server.cli(&["XRANGE", key, "-", "+"]);
    }
    assert!(beside.contains(&digest(kept(&laptop.session))), "{beside}");
    assert!(!beside.contains(&digest(user.others())), "{beside}");
    let late = connect(&server.url()).await;
    until("the copy is whole", || async {
        let kept = Covered::ask(&late, &user, &laptop).await;
        assert!(!kept.is_refused(&laptop));
        Covered::ask(&late, &user, &phone).await.is_dead(&phone)
    })
    .await;
    assert!(matches!(
        user.refresh(&late, &laptop).await,
        Outcome::Rotated(_)
    ));
    assert_eq!(user.refresh(&late, &phone).await, Outcome::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r45_a_shard_that_heals_never_refuses_the_kept_session() {
    for round in 0..5 {
        let server = RedisServer::start();
        let store = || async {
            let healing = builder(&server.url()).with_healing(Duration::from_millis(300));
            healing.connect().await.unwrap()
        };
        let (one, two) = (store().await, store().await);
        let user = User::new("alice");
        let (first, phone) = (user.login(&one).await, user.login(&one).await);
        // The first process ends the others for one session, the second for another: what the first puts
        // back as its own has been raised by the second.
        user.end_others(&one, &first.session).await;
        let laptop = user.login(&two).await;
        user.end_others(&two, &laptop.session).await;
        for store in [&one, &two] {
            until("both know", || async {
                let ended = Covered::ask(store, &user, &first).await;
                ended.is_dead(&first)
            })
            .await;
        }
        server.cli(&["FLUSHALL"]);
        let start = tokio::time::Instant::now();
        let mut healed = false;
        while !healed {
            assert!(start.elapsed() < PATIENCE, "round {round}: it never heals");
            healed = true;
            for store in [&one, &two] {
                let kept = Covered::ask(store, &user, &laptop).await;
                assert!(!kept.is_refused(&laptop), "round {round}");
                let dead = Covered::ask(store, &user, &phone).await;
                healed &= kept.strictly.is_ok() && dead.strictly.is_ok();
                let revived = dead.strictly.is_ok() && !dead.is_refused(&phone);
                assert!(!revived, "round {round}: a session that had ended lives");
            }
        }
        // Nobody has to remember any more.
        drop((one, two));
        let late = connect(&server.url()).await;
        until("the copy is whole", || async {
            let kept = Covered::ask(&late, &user, &laptop).await;
            assert!(!kept.is_refused(&laptop), "round {round}");
            let first_is_dead = Covered::ask(&late, &user, &first).await.is_dead(&first);
            Covered::ask(&late, &user, &phone).await.is_dead(&phone) && first_is_dead
        })
        .await;
    }
}
