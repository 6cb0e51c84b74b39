//! A primary that is cut off from its replica and from the sentinels, and not from its clients.

use std::time::Duration;

use jwt_revoke_core::{
    revocation::SHARDS,
    session::Outcome,
    store::{Durability, Health, RedisStore, Store as _},
};
use jwt_revoke_tests::redis_server::{RedisSentinels, RedisServer};

use crate::{
    asked, builder, connect, mirrored,
    rights::{documented, documented_for},
    subject, until, until_found, until_mirrored,
    user::User,
};

/// Sentinels and replicas are the default user, clients are another. So a primary can refuse the former.
struct Group {
    sentinels: RedisSentinels,
}

impl Group {
    fn start() -> Self {
        let group = Self {
            sentinels: RedisSentinels::start(),
        };
        let (keys, mut rights) = documented();
        rights.extend(documented_for("a primary behind Sentinels"));
        rights.extend(documented_for("durability"));
        // Which this server does not know.
        rights.retain(|right| right != "+waitaof");
        let user = |name| ["ACL", "SETUSER", name, "on", ">hunter2"].to_vec();
        for server in &group.sentinels.servers {
            let mut admin = user("admin");
            admin.extend(["~*", "&*", "+@all"]);
            let mut app = user("app");
            app.extend([&*keys, "-@all"]);
            app.extend(rights.iter().map(String::as_str));
            for words in [admin, app] {
                assert_eq!(server.cli(&words), "OK");
            }
        }
        group
    }

    /// The address for clients.
    fn url(&self) -> String {
        self.sentinels.url().replace("://", "://app:hunter2@")
    }

    /// The primary at the start, and its replica.
    fn servers(&self) -> [&RedisServer; 2] {
        let [primary, replica] = &self.sentinels.servers[..] else {
            unreachable!("two were started");
        };
        [primary, replica]
    }

    /// Has the primary refuse writes without its replica, as the documents advise.
    fn fence(&self) {
        let [primary, _] = self.servers();
        admin(primary, &["CONFIG", "SET", "min-replicas-max-lag", "1"]);
        admin(primary, &["CONFIG", "SET", "min-replicas-to-write", "1"]);
    }

    /// Cuts the primary off from its replica and from the sentinels; they promote the replica.
    async fn part(&self) {
        let [primary, replica] = self.servers();
        admin(primary, &["ACL", "SETUSER", "default", "off"]);
        admin(primary, &["CLIENT", "KILL", "USER", "default"]);
        until("its replica is cut off", || async {
            admin(primary, &["INFO", "replication"]).contains("connected_slaves:0")
        })
        .await;
        // It goes on as a primary for whoever is connected to it.
        assert!(admin(primary, &["ROLE"]).starts_with("master"));
        assert!(admin(replica, &["PING"]).starts_with("PONG"));
    }

    async fn until_promoted(&self) {
        let [_, replica] = self.servers();
        until("the replica is promoted", || async {
            self.sentinels.named() == Some(replica.port())
                && admin(replica, &["ROLE"]).starts_with("master")
        })
        .await;
    }

    /// Ends the partition: the sentinels make the old primary a replica, which forgets what it alone had.
    async fn join(&self) {
        let [primary, _] = self.servers();
        admin(primary, &["ACL", "SETUSER", "default", "on"]);
        until("the old primary follows the new one", || async {
            let role = admin(primary, &["ROLE"]);
            role.starts_with("slave") && role.contains("connected")
        })
        .await;
    }
}

fn admin(server: &RedisServer, args: &[&str]) -> String {
    let login = ["--no-auth-warning", "--user", "admin", "--pass", "hunter2"];
    server.cli(&[&login, args].concat())
}

/// Not a word against what `store` knows: neither its copy nor a strict check may forget.
async fn remembers(store: &RedisStore, at: u8, value: &str) {
    let digest = subject(value, at).digest;
    assert_ne!(mirrored(store, at, digest).highest(), None, "{value}");
    let (known, whole) = asked(store, at, digest).await;
    assert!(known.is_some(), "{value} revived (whole: {whole})");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_what_a_failover_of_the_sentinels_lost_stays_dead_and_is_put_back() {
    let group = Group::start();
    let url = group.url();
    let (one, other) = (connect(&url).await, connect(&url).await);
    let before = subject("before", 3);
    one.revoke(std::slice::from_ref(&before)).await.unwrap();
    let [_, replica] = group.servers();
    until("it is replicated", || async {
        let key = format!("*:deny:{}", before.digest);
        !admin(replica, &["KEYS", &key]).is_empty()
    })
    .await;
    let alice = User::new("alice");
    let token = alice.login(&one).await;
    until("the session is replicated", || async {
        !admin(replica, &["KEYS", "*:session:*"]).is_empty()
    })
    .await;

    group.part().await;
    // Acknowledged by a primary that nobody follows any more.
    let mine: Vec<_> = (0..SHARDS).map(|at| subject("mine", at)).collect();
    let theirs: Vec<_> = (0..SHARDS).map(|at| subject("theirs", at)).collect();
    one.revoke(&mine).await.unwrap();
    other.revoke(&theirs).await.unwrap();
    for at in 0..SHARDS {
        until_mirrored(&one, at, theirs[usize::from(at)].digest).await;
        until_mirrored(&other, at, mine[usize::from(at)].digest).await;
    }
    let lost = alice.next(&one, &token).await;
    group.until_promoted().await;
    // Who comes now is sent to the new primary, which has never heard of it, and writes there.
    let stranger = connect(&url).await;
    assert_eq!(asked(&stranger, 5, mine[5].digest).await, (None, true));
    let later = subject("later", 5);
    stranger.revoke(std::slice::from_ref(&later)).await.unwrap();
    for at in 0..SHARDS {
        for store in [&one, &other] {
            remembers(store, at, "mine").await;
            remembers(store, at, "theirs").await;
        }
    }

    let joined = group.join();
    let watched = async {
        // As long as it takes, and while the connections change.
        loop {
            for store in [&one, &other] {
                remembers(store, 5, "mine").await;
                remembers(store, 9, "theirs").await;
                remembers(store, 3, "before").await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = joined => {}
        () = watched => unreachable!("it does not end"),
    }
    for at in 0..SHARDS {
        until_found(&stranger, at, mine[usize::from(at)].digest).await;
        until_found(&stranger, at, theirs[usize::from(at)].digest).await;
    }
    for store in [&one, &other] {
        until_mirrored(store, 5, later.digest).await;
        until("it is fresh", || async { store.health() == Health::Fresh }).await;
        remembers(store, 5, "mine").await;
    }
    // It is in the new primary, and not only remembered.
    let fresh = connect(&url).await;
    for at in 0..SHARDS {
        let found = asked(&fresh, at, mine[usize::from(at)].digest).await;
        assert!(matches!(found, (Some(_), true)), "{found:?}");
    }
    // The rotation that was lost is caught up with: neither theft nor the end of the session.
    until("the session goes on", || async {
        match alice.try_refresh(&one, &lost).await {
            Ok(Outcome::Recovered(_)) => true,
            Ok(other) => panic!("{other:?}"),
            Err(_) => false,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_primary_that_was_replaced_and_refuses_writes_is_left() {
    let group = Group::start();
    let [primary, _] = group.servers();
    let url = group.url();
    let store = connect(&url).await;
    group.fence();
    group.part().await;
    group.until_promoted().await;
    // The partition lasts, and nothing but its refusals tells of it.
    let revocation = subject("alice", 5);
    until("the new primary is written", || async {
        store
            .revoke(std::slice::from_ref(&revocation))
            .await
            .is_ok()
    })
    .await;
    let stranger = connect(&url).await;
    until_found(&stranger, 5, revocation.digest).await;
    // Strict checks ask the new primary too.
    let later = subject("bob", 5);
    stranger.revoke(std::slice::from_ref(&later)).await.unwrap();
    until_found(&store, 5, later.digest).await;
    until("its copy is fresh", || async {
        store.health() == Health::Fresh
    })
    .await;
    assert!(admin(primary, &["ROLE"]).starts_with("master"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_primary_that_was_replaced_is_left_by_writes_that_wait_for_a_replica() {
    let group = Group::start();
    let [primary, replica] = group.servers();
    let url = group.url();
    let durability = Durability::Replicated {
        replicas: 1,
        timeout: Duration::from_millis(500),
    };
    let store = builder(&url).with_durability(durability);
    let store = store.connect().await.unwrap();
    // By a connection that is there, and stays with the old primary.
    let before = subject("before", 5);
    store.revoke(std::slice::from_ref(&before)).await.unwrap();
    group.fence();
    group.part().await;
    group.until_promoted().await;
    let spare = RedisServer::start();
    spare.cli(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]);
    let revocation = subject("alice", 5);
    until("the new primary has it, and its replica", || async {
        store
            .revoke(std::slice::from_ref(&revocation))
            .await
            .is_ok()
    })
    .await;
    let key = format!("*:deny:{}", revocation.digest);
    assert_ne!(spare.cli(&["KEYS", &key]), "");
    assert_eq!(admin(primary, &["KEYS", &key]), "");
}
