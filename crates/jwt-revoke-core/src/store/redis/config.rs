//! How a store is set up.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock::{Clock, SystemClock},
    defaults,
    store::{
        Durability, RedisStore, StoreError,
        redis::{address::Address, client::Config, start},
    },
};

/// Sets up a [`RedisStore`]. Made by [`RedisStore::builder`].
#[derive(Clone)]
#[must_use]
pub struct RedisBuilder {
    url: String,
    username: Option<String>,
    password: Option<String>,
    resp3: bool,
    pub(super) settings: Settings,
    #[cfg(feature = "redis-rustls")]
    ca_certificates: Option<Vec<u8>>,
}

/// What a store goes by once it is connected.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) check_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) healing: Duration,
    pub(super) replica_entries: usize,
    pub(super) durability: Durability,
    pub(super) legacy_prefix: Option<String>,
    pub(super) legacy_writes: bool,
    pub(super) strict_eviction: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl RedisBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            username: None,
            password: None,
            resp3: false,
            settings: Settings {
                prefix: defaults::KEY_PREFIX.to_owned(),
                check_timeout: defaults::CHECK_TIMEOUT,
                write_timeout: defaults::WRITE_TIMEOUT,
                connect_timeout: defaults::CONNECT_TIMEOUT,
                healing: defaults::HEALING,
                replica_entries: defaults::REPLICA_ENTRIES,
                durability: Durability::default(),
                legacy_prefix: None,
                legacy_writes: false,
                strict_eviction: false,
                clock: SystemClock::shared(),
            },
            #[cfg(feature = "redis-rustls")]
            ca_certificates: None,
        }
    }

    /// The prefix of all keys; default [`KEY_PREFIX`](defaults::KEY_PREFIX). Deployments with
    /// different prefixes share a server without seeing each other. 1 to 64 printable ASCII
    /// characters, no braces: connecting with another one is an error.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.settings.prefix = prefix.to_owned();
        self
    }

    /// The user of Redis' access control lists; overrides the one in the address.
    pub fn with_username(mut self, username: &str) -> Self {
        self.username = Some(username.to_owned());
        self
    }

    /// The password; overrides the one in the address, and keeps it out of logs of addresses.
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Speaks RESP3, the third version of the protocol; so does `?protocol=3` in the address. The default
    /// is the second, which every server and proxy speaks: nothing that is asked here is answered better by
    /// the third, so it is for servers that speak nothing else.
    pub fn with_resp3(mut self) -> Self {
        self.resp3 = true;
        self
    }

    /// Certificates, in PEM, of the authorities that may vouch for the server; the default are
    /// those of the system.
    #[cfg(feature = "redis-rustls")]
    pub fn with_ca_certificates(mut self, pem: &[u8]) -> Self {
        self.ca_certificates = Some(pem.to_vec());
        self
    }

    /// How long a check may wait; default [`CHECK_TIMEOUT`](defaults::CHECK_TIMEOUT). At least 5 ms.
    pub fn with_check_timeout(mut self, bound: Duration) -> Self {
        self.settings.check_timeout = bound.max(SHORTEST);
        self
    }

    /// How long a write may take, repetitions after a lost answer included; default
    /// [`WRITE_TIMEOUT`](defaults::WRITE_TIMEOUT). At least 5 ms.
    pub fn with_write_timeout(mut self, bound: Duration) -> Self {
        self.settings.write_timeout = bound.max(SHORTEST);
        self
    }

    /// How long connecting may take; default [`CONNECT_TIMEOUT`](defaults::CONNECT_TIMEOUT). At
    /// least 5 ms.
    pub fn with_connect_timeout(mut self, bound: Duration) -> Self {
        self.settings.connect_timeout = bound.max(SHORTEST);
        self
    }

    /// How long a shard that is new, or lost its data, answers "unknown" so that every process can
    /// put back what it remembers; default [`HEALING`](defaults::HEALING).
    ///
    /// Every process looks once in [`PROBE_INTERVAL`](defaults::PROBE_INTERVAL); anything shorter
    /// than two of those leaves some of them no time. Zero, for tests, waits for nobody.
    pub fn with_healing(mut self, healing: Duration) -> Self {
        self.settings.healing = healing;
        self
    }

    /// The most entries that this process keeps a copy of, at about 70 B each; default
    /// [`REPLICA_ENTRIES`](defaults::REPLICA_ENTRIES). Beyond, checks that would have been answered from
    /// the copy ask the server. 0 keeps none, and follows nothing: every check asks, and what this process
    /// has revoked itself is known to the server alone. Into a store that lost its data such a process puts
    /// back what it wrote in the last five minutes, 100,000 entries at most, and nothing of what others wrote.
    pub fn with_replica_entries(mut self, most: usize) -> Self {
        self.settings.replica_entries = most;
        self
    }

    /// How durable a revocation, or a step of a session, must be before it is acknowledged; default
    /// [`Durability::Configured`]. One that is not confirmed in time is [`StoreError::Unconfirmed`].
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Also asks for `{prefix}{jti}`, the key by which other services know a revoked token: with
    /// `"blacklist:"` the common `SET blacklist:<jti> 1 EX ttl`.
    ///
    /// Only `jti` revocations travel that way: none of a session, a user or a key. A `jti` that is not
    /// 1 to 128 of `A-Z a-z 0-9 . _ -` cannot be looked up there, so its token counts as revoked.
    /// In a Cluster this is a second command, at the same time as the first. What others write
    /// there does not stand in our log, so a replica of it does not have it.
    pub fn with_legacy_prefix(mut self, prefix: &str) -> Self {
        self.settings.legacy_prefix = Some(prefix.to_owned());
        self
    }

    /// Also writes the keys of [`with_legacy_prefix`](Self::with_legacy_prefix), for services that
    /// read nothing else.
    pub fn with_legacy_writes(mut self) -> Self {
        self.settings.legacy_writes = true;
        self
    }

    /// Refuses a server whose `maxmemory-policy` is not `noeviction`, or does not tell it: any other
    /// policy drops revocations when memory runs out. By default that is a warning in the log.
    pub fn with_strict_eviction(mut self) -> Self {
        self.settings.strict_eviction = true;
        self
    }

    /// The clock that the server's is compared with; default the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Connects, checks the server, and waits until all shards are whole, which takes the
    /// [healing](Self::with_healing) time when the database is new: it looks like one that was wiped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for a malformed address, or settings that make no sense; [`StoreError::Open`] when the server does not
    /// answer or refuses us, within the connect timeout; [`StoreError::Unfit`] and
    /// [`StoreError::Layout`] for a server that cannot be used. All name the store, the reason, and
    /// what to do.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        start::connect(self.launch()?).await
    }

    /// Comes up at once, not ready: until the server has been reached and checked, in the background,
    /// every call is an error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for a malformed address, [`StoreError::Open`] outside of a tokio runtime.
    pub fn connect_lazily(self) -> Result<RedisStore, StoreError> {
        Ok(start::connect_lazily(self.launch()?))
    }

    fn launch(self) -> Result<RedisStore, StoreError> {
        let mut address = Address::parse(&self.url)?;
        address.username = self.username.or(address.username);
        address.password = self.password.or(address.password);
        let prefix = &self.settings.prefix;
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(is_plain) {
            return Err(StoreError::Address {
                address: address.name,
                reason: "the prefix must be 1 to 64 printable characters, none of them a brace \
                         (braces decide which node of a Cluster a key lies on)"
                    .to_owned(),
            });
        }
        if self.settings.legacy_writes && self.settings.legacy_prefix.is_none() {
            return Err(StoreError::Address {
                address: address.name,
                reason: "legacy writes need a legacy prefix".to_owned(),
            });
        }
        let durability = self.settings.durability;
        let proof = durability.proof(self.settings.write_timeout);
        let proof = proof.map_err(|reason| StoreError::Address {
            address: address.name.clone(),
            reason,
        })?;
        #[cfg(feature = "redis-rustls")]
        let tls = address
            .tls
            .then(|| super::client::tls::config(&address, self.ca_certificates.as_deref()))
            .transpose()?;
        #[cfg(feature = "redis-rustls")]
        let known_as = match &address.target {
            super::client::Target::Cluster(named) => {
                named.first().map(|server| server.host.clone())
            }
            _ => None,
        };
        let config = Config {
            target: address.target.clone(),
            username: address.username.clone(),
            password: address.password.clone(),
            database: address.database,
            resp3: self.resp3 || address.resp3,
            #[cfg(feature = "redis-rustls")]
            tls,
            #[cfg(feature = "redis-rustls")]
            known_as,
        };
        RedisStore::launch(&address, &config, self.settings, proof)
    }
}

impl fmt::Debug for RedisBuilder {
    /// Hides the address, which may hold a password, and the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.settings.prefix)
            .finish_non_exhaustive()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'{' && byte != b'}'
}

/// No bound is shorter: a timer of the runtime has whole milliseconds.
const SHORTEST: Duration = Duration::from_millis(5);
