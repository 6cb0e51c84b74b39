//! What holds on the system's Redis holds on Redis 8 and Valkey 9 too, and over RESP3, the third version of the protocol.
//! `scripts/servers` installs the servers.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::{marker::PhantomData, sync::Arc, time::Duration};

use jwt_revoke_core::{
    guard::Consistency,
    revocation::{Cutoff, Cutoffs, Dimension, Placement, SHARDS, Shard},
    store::{Health, Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _},
};
use jwt_revoke_tests::{
    patience::{PATIENCE, until},
    redis_server::{Program, RedisServer},
    store_suite::Fixture,
};

/// A server, and how it is spoken to.
trait Kind: Send + Sync + 'static {
    const PROGRAM: Program;
    const RESP3: bool;
}

macro_rules! kinds {
    ($($name:ident: $program:ident, $resp3:literal;)*) => {
        $(
            struct $name;

            impl Kind for $name {
                const PROGRAM: Program = Program::$program;
                const RESP3: bool = $resp3;
            }
        )*
    };
}

kinds! {
    Redis7Resp3: Redis, true;
    Redis8: Redis8, false;
    Valkey: Valkey, false;
    ValkeyResp3: Valkey, true;
}

/// A store on a server of its own.
struct On<K> {
    store: Arc<RedisStore>,
    server: RedisServer,
    kind: PhantomData<K>,
}

fn builder<K: Kind>(server: &RedisServer) -> RedisBuilder {
    let builder = RedisStore::builder(&server.url())
        .with_healing(Duration::ZERO)
        // The suites are not about bounds, and run beside others.
        .with_check_timeout(PATIENCE)
        .with_write_timeout(PATIENCE)
        .with_connect_timeout(PATIENCE);
    if K::RESP3 {
        builder.with_resp3()
    } else {
        builder
    }
}

async fn connect<K: Kind>(server: &RedisServer) -> RedisStore {
    builder::<K>(server).connect().await.unwrap()
}

impl<K: Kind> Fixture for On<K> {
    type Store = RedisStore;

    const ANSWERS_AT_ONCE: bool = false;

    async fn fresh() -> Self {
        let server = RedisServer::start_of(K::PROGRAM, &[]);
        let store = Arc::new(connect::<K>(&server).await);
        Self {
            store,
            server,
            kind: PhantomData,
        }
    }

    fn store(&self) -> &Arc<RedisStore> {
        &self.store
    }

    async fn reopened(self) -> Option<Self> {
        let store = Arc::new(connect::<K>(&self.server).await);
        Some(Self { store, ..self })
    }
}

/// The copies are fed by the log, and heal a server that was wiped.
async fn copies_follow_and_heal<K: Kind>() {
    let server = RedisServer::start_of(K::PROGRAM, &[]);
    let (writer, reader) = (connect::<K>(&server).await, connect::<K>(&server).await);
    let clients = server.cli(&["CLIENT", "LIST"]);
    let speaks = if K::RESP3 { "resp=3" } else { "resp=2" };
    let ours = clients.lines().filter(|line| !line.contains("client|list"));
    assert!(ours.clone().count() >= 6, "{clients}");
    assert!(
        ours.into_iter().all(|line| line.contains(speaks)),
        "{clients}"
    );
    let now = writer.earliest_now().await.unwrap();
    let reach = Reach::At(now);
    let in_shard = |at| {
        let place = Placement::One(Shard::new(at).unwrap());
        let name = format!("user-{at}");
        Revocation::new(Dimension::Subject, "iss", &name, place, reach)
    };
    let mut revocations: Vec<_> = (0..SHARDS).map(in_shard).collect();
    let leaked = Revocation::new(Dimension::Key, "iss", "k", Placement::Wide, Reach::Forever);
    revocations.push(leaked.clone());
    writer.revoke(&revocations).await.unwrap();
    for (at, revocation) in (0..SHARDS).zip(&revocations) {
        until_mirrored(&reader, at, revocation, Cutoff::At(now)).await;
        until_mirrored(&reader, at, &leaked, Cutoff::Forever).await;
    }
    drop(writer);
    server.cli(&["FLUSHALL"]);
    until("all entries are back", || async {
        let entries = server.cli(&["KEYS", "jr:*:deny:*"]);
        entries.lines().count() == 2 * usize::from(SHARDS)
    })
    .await;
    until("the copy is fresh", || async {
        reader.health() == Health::Fresh
    })
    .await;
    let stranger = connect::<K>(&server).await;
    for (at, revocation) in (0..SHARDS).zip(&revocations) {
        let digests = [revocation.digest, leaked.digest];
        let query = Lookup::new(Shard::new(at).unwrap(), &digests);
        assert_eq!(
            stranger.lookup(&query).await.unwrap().highest(),
            Some(Cutoff::Forever)
        );
        until_mirrored(&stranger, at, revocation, Cutoff::At(now)).await;
    }
}

async fn until_mirrored(store: &RedisStore, at: u8, revocation: &Revocation, cutoff: Cutoff) {
    let digests = [revocation.digest];
    let query =
        Lookup::new(Shard::new(at).unwrap(), &digests).with_consistency(Consistency::Mirror {
            max_staleness: Duration::MAX,
        });
    until("the copy has the entry", || async {
        let found = store.lookup_now(&query);
        found.is_some_and(|found| found.unwrap_or(Cutoffs::NONE).highest() == Some(cutoff))
    })
    .await;
}

/// Everything, on one kind of server.
macro_rules! holds_on {
    ($($name:ident: $kind:ident;)*) => {
        $(
            mod $name {
                use super::{Kind as _, $kind, On, copies_follow_and_heal};

                mod store {
                    use super::{$kind, On};
                    jwt_revoke_tests::store_suite!(in_turn: On<$kind>);
                }

                mod sessions {
                    use super::{$kind, On};
                    jwt_revoke_tests::session_suite!(in_turn: On<$kind>);
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn the_suite_of_stores_holds() {
                    if !$kind::PROGRAM.is_skipped() {
                        store::in_turn().await;
                    }
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn the_suite_of_sessions_holds() {
                    if !$kind::PROGRAM.is_skipped() {
                        sessions::in_turn().await;
                    }
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn the_copies_follow_and_heal() {
                    if !$kind::PROGRAM.is_skipped() {
                        copies_follow_and_heal::<$kind>().await;
                    }
                }
            }
        )*
    };
}

holds_on! {
    redis_7_over_resp3: Redis7Resp3;
    redis_8: Redis8;
    valkey: Valkey;
    valkey_over_resp3: ValkeyResp3;
}
