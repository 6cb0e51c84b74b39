//! Redis and Valkey: standalone, behind Sentinels, or a Cluster. Feature `redis`; TLS behind
//! `redis-rustls`.
//!
//! Sixteen shards, each in one slot; `docs/redis.md` lists their keys. A check is one command, every
//! write is one Lua script a shard.
//!
//! What it needs: Redis 6.2 or any Valkey (fenced checks: Redis 7), `maxmemory-policy noeviction`, and
//! a user with the rights that `docs/redis.md` names.

mod account;
mod address;
mod breaker;
mod client;
mod commit;
mod config;
mod durability;
mod failure;
mod follow;
mod heal;
mod healing;
mod keys;
mod layout;
mod log;
mod lookup;
mod measure;
mod mend;
mod put_back;
mod relog;
mod reply;
mod revoke;
mod scripts;
mod session;
mod shard;
mod source;
mod start;
mod tasks;
mod wide;
mod words;
mod write;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::Duration,
};

use tokio::runtime::Handle;

pub(in crate::store) use self::address::is_redis;
use self::{
    address::Address,
    breaker::Breaker,
    client::{Config, Link, LinkOptions, Probing},
    commit::Commits,
    config::Settings,
    durability::Proof,
    follow::FollowerHandle,
    healing::Healing,
    keys::Keys,
    layout::Layouts,
    relog::Relogs,
    shard::Clocks,
    wide::Wides,
};
pub use self::{config::RedisBuilder, durability::Durability};
use crate::{
    clock::Timestamp,
    defaults,
    meters::RedisMeters,
    revocation::{Cutoffs, Horizons, Replica, SHARDS, Shard},
    store::{
        Consistency, Health, Lookup, Revocation, Revoked, Store, StoreError, Transition,
        Transitioned,
    },
};

/// A store in Redis or Valkey, shared by a fleet. A cheap handle: clones are one store, and the last
/// one closes the connections.
///
/// ```no_run
/// # async fn example() -> Result<(), jwt_revoke_core::store::StoreError> {
/// use jwt_revoke_core::store::RedisStore;
///
/// let store = RedisStore::connect("redis://localhost:6379").await?;
/// let other = RedisStore::builder("redis-cluster://node-1:7000?node=node-2:7000")
///     .with_prefix("shop")
///     .with_password("from the environment")
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
///
/// # Addresses
///
/// | | |
/// | --- | --- |
/// | `redis://[user:password@]host[:6379][/database]` | one server |
/// | `redis-cluster://[user:password@]host[:6379][?node=host:port&..]` | a Cluster; one node is enough, more are safer |
/// | `redis-sentinel://[user:password@]host[:26379][/database]?service=NAME[&node=host:port..]` | the primary that the sentinels name; theirs are `sentinelUsername` and `sentinelPassword` |
///
/// `rediss`, `rediss-cluster` and `rediss-sentinel` are the same over TLS; `valkey` and `valkeys`
/// mean `redis` and `rediss`. `?protocol=3` speaks RESP3 with any of them.
///
/// # What it survives
///
/// A check waits for its bound at most, and not every check does while the server hangs. A server
/// that was wiped answers "unknown" ([`StoreError::ShardLost`]) for the healing time, in which each
/// process puts back what it wrote, and one at a time what it read; a new one does the same, because
/// it looks the same.
///
/// It lives on the tokio runtime on which it was connected, and ends with it.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

pub(in crate::store::redis) struct Inner {
    /// The store, without credentials.
    name: String,
    cluster: bool,
    settings: Settings,
    keys: Keys,
    checks: Link,
    writes: Link,
    /// Writes that are to be confirmed, if any are.
    commits: Option<Commits>,
    breakers: [Breaker; SHARDS as usize],
    /// How many checks wait for an answer.
    waiting: AtomicUsize,
    started: AtomicBool,
    /// Whether a server is too old for fenced checks.
    unfenced: AtomicBool,
    replica: Arc<Replica>,
    /// Dropped with the store, which ends it.
    follower: OnceLock<FollowerHandle>,
    healing: Healing,
    relogs: Relogs,
    layouts: Layouts,
    /// The eviction policy that was warned about, in words.
    evicting: Mutex<Option<String>>,
    wides: Wides,
    clocks: Clocks,
    meters: RedisMeters,
}

impl RedisStore {
    /// Connects with the defaults. See [`RedisBuilder::connect`].
    ///
    /// # Errors
    ///
    /// When the address is malformed, or the server does not answer within the bound, refuses us, or
    /// cannot be used.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Comes up at once, not ready, and connects in the background. See
    /// [`RedisBuilder::connect_lazily`].
    ///
    /// # Errors
    ///
    /// When the address is malformed, or there is no tokio runtime.
    pub fn connect_lazily(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect_lazily()
    }

    /// Sets up a store at `url`; nothing is looked at before it connects.
    pub fn builder(url: &str) -> RedisBuilder {
        RedisBuilder::new(url)
    }

    fn launch(
        address: &Address,
        config: &Config,
        settings: Settings,
        proof: Option<Proof>,
    ) -> Result<Self, StoreError> {
        let open = |reason: String| StoreError::Open {
            store: address.name.clone(),
            reason,
            source: None,
        };
        let runtime = Handle::try_current()
            .map_err(|_| open("it must be connected on a tokio runtime".to_owned()))?;
        let options = |timeout, attempts, unanswered| LinkOptions {
            timeout,
            connect_timeout: settings.connect_timeout.min(defaults::WRITE_TIMEOUT),
            attempts,
            probing: Probing::Within(unanswered),
        };
        let link =
            |timeout, attempts| Link::start(config.clone(), options(timeout, attempts, UNANSWERED));
        let inner = Arc::new(Inner {
            name: address.name.clone(),
            cluster: address.is_cluster(),
            keys: Keys::new(&settings.prefix),
            meters: RedisMeters::new(&address.name, &settings.prefix),
            // Asking twice does no harm, and covers a connection that was closed while idle.
            checks: link(settings.check_timeout, 2),
            // A lost answer to a write is our business: see `Inner::write`.
            writes: link(settings.write_timeout, 1),
            commits: proof.map(|proof| {
                // An echo waits for the group before it, and that for its confirmation.
                let unanswered = settings.write_timeout + UNANSWERED;
                let options = options(settings.write_timeout, 1, unanswered);
                Commits::new(proof, config, options, runtime)
            }),
            breakers: Default::default(),
            waiting: AtomicUsize::new(0),
            started: AtomicBool::new(false),
            unfenced: AtomicBool::new(false),
            replica: Arc::new(Replica::new(settings.replica_entries)),
            follower: OnceLock::new(),
            healing: Healing::default(),
            relogs: Relogs::default(),
            layouts: Layouts::default(),
            evicting: Mutex::default(),
            wides: Wides::default(),
            clocks: Clocks::default(),
            settings,
        });
        measure::start(&inner);
        if inner.is_followed() {
            let follower = follow::start(Arc::downgrade(&inner), config.clone());
            let follower = follower.map_err(|error| {
                open(format!(
                    "the system refused a thread that follows its log: {error}"
                ))
            })?;
            let _ = inner.follower.set(follower);
        }
        Ok(Self(inner))
    }
}

impl Store for RedisStore {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        self.0.lookup(query).await
    }

    fn lookup_now(&self, query: &Lookup<'_>) -> Option<Result<Cutoffs, StoreError>> {
        self.0.lookup_now(query)
    }

    fn consistency(&self) -> Consistency {
        self.0.consistency()
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        // Apart from whoever waits: a client that hangs up must not leave half of it unwritten, or
        // written and not remembered.
        let (inner, revocations) = (Arc::clone(&self.0), revocations.to_vec());
        let written = tokio::spawn(async move { inner.revoke(&revocations).await });
        written.await.unwrap_or_else(|ended| {
            Err(StoreError::Failed {
                store: self.0.name.clone(),
                reason: format!("a write was given up: {ended}"),
            })
        })
    }

    async fn transition(&self, transition: &Transition<'_>) -> Result<Transitioned, StoreError> {
        self.0.transition(transition).await
    }

    async fn now(&self, shard: Shard) -> Result<Timestamp, StoreError> {
        self.0.now(shard).await
    }

    async fn earliest_now(&self) -> Result<Timestamp, StoreError> {
        self.0.earliest_now().await
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        self.0.require(horizons).await
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn record_metrics(&self) {
        self.0.record_metrics();
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.0.ready().await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("store", &self.0.name)
            .field("prefix", &self.0.settings.prefix)
            .finish_non_exhaustive()
    }
}

/// How long a server may be silent on an open connection before another connection takes its place.
const UNANSWERED: Duration = Duration::from_secs(1);
