//! What this crate tells of itself in numbers, through the facade of the crate `metrics`, 0.24.
//!
//! Install a recorder **before** stores and guards are made: they take their counters then, so that no
//! check has to look for one. Without a recorder nothing is counted.
//!
//! Counters and histograms count by themselves. A gauge tells a state, at which somebody has to look:
//! [`Guard::record_metrics`](crate::Guard::record_metrics) does, so call it whenever the numbers are about
//! to be read. A Redis store also looks by itself, once a second.
//!
//! Labels are words of this crate, numbers of shards, and the names of guards and stores, which come from
//! whoever configures them and hold no credentials. Nothing of a token is in any.
//!
//! [`ALL`] lists every metric; `docs/metrics.md` says what to alert on.

/// A metric that this crate records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// In what: `count`, `seconds`, `bytes`.
    pub unit: &'static str,
    /// By what its series differ.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub meaning: &'static str,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Events since the process began.
    Counter,
    /// A state, as it was when somebody looked.
    Gauge,
    /// How often a measured value was how large.
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident, $kind:ident, $unit:literal, $name:literal [$($label:literal),*] $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                meaning: $meaning,
            };
        )*

        /// Every metric.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    CHECKS, Counter, "count", "jwt_revoke_checks_total" ["guard", "path", "outcome"]
        "Tokens that were checked, by who decided and how.";
    REFUSED_TOKENS, Counter, "count", "jwt_revoke_refused_tokens_total" ["guard", "kind", "reason"]
        "Tokens that are not genuine, not for this service or not in force, by the reason.";
    VERIFY, Histogram, "seconds", "jwt_revoke_verify_seconds" ["guard"]
        "How long signature and claims took, of tokens that were not in the cache.";
    TOKEN_CACHE_LOOKUPS, Counter, "count", "jwt_revoke_token_cache_lookups_total" ["guard", "result"]
        "Tokens that were looked for in the cache of verified tokens.";
    TOKEN_CACHE_ENTRIES, Gauge, "count", "jwt_revoke_token_cache_entries" ["guard"]
        "Tokens in that cache.";
    TOKEN_CACHE_BYTES, Gauge, "bytes", "jwt_revoke_token_cache_bytes" ["guard"]
        "What they take, as the cache reckons.";
    REFRESHES, Counter, "count", "jwt_revoke_refreshes_total" ["guard", "outcome"]
        "Refresh tokens that were presented, by what became of them.";
    REPLICA_AGE, Gauge, "seconds", "jwt_revoke_replica_age_seconds" ["store", "prefix", "shard"]
        "How far the copy of a shard in this process may be behind; while it may lack anything, how long ago it was made.";
    REPLICA_ENTRIES, Gauge, "count", "jwt_revoke_replica_entries" ["store", "prefix"]
        "Entries in that copy, of all shards.";
    REPLICA_BYTES, Gauge, "bytes", "jwt_revoke_replica_bytes" ["store", "prefix"]
        "What its tables take, filled or not.";
    PROPAGATION, Histogram, "seconds", "jwt_revoke_propagation_seconds" ["store", "prefix"]
        "From the instant at which the store wrote an entry until this process had read it.";
    FOLLOWER_RESTARTS, Counter, "count", "jwt_revoke_follower_restarts_total" ["store", "prefix", "reason"]
        "How often following the log had to begin anew.";
    HEALED_ENTRIES, Counter, "count", "jwt_revoke_healed_entries_total" ["store", "prefix"]
        "Entries that a store had lost, or held for too short or too low, and that this process put back.";
    UNHEALED_ENTRIES, Counter, "count", "jwt_revoke_unhealed_entries_total" ["store", "prefix"]
        "Entries that this process sent to be put back, and that the store did not take: too far ahead of its clock.";
    BREAKERS_OPEN, Gauge, "count", "jwt_revoke_breakers_open" ["store", "prefix"]
        "Circuit breakers that are open, so that checks do not wait for the store: 0 or 1, in a Cluster up to 16.";
    BREAKER_OPENINGS, Counter, "count", "jwt_revoke_breaker_openings_total" ["store", "prefix"]
        "How often one opened.";
    CLOCK_OFFSET, Gauge, "seconds", "jwt_revoke_clock_offset_seconds" ["store", "prefix"]
        "The store's clock less this host's, by the last answer that told it.";
    EMBEDDED_ENTRIES, Gauge, "count", "jwt_revoke_embedded_entries" ["store"]
        "Entries in an embedded store.";
    EMBEDDED_BYTES, Gauge, "bytes", "jwt_revoke_embedded_bytes" ["store"]
        "What its tables take in memory, filled or not.";
    EMBEDDED_SESSIONS, Gauge, "count", "jwt_revoke_embedded_sessions" ["store"]
        "Sessions with a record in it.";
    EMBEDDED_WAITING, Gauge, "count", "jwt_revoke_embedded_waiting_writes" ["store"]
        "Writes that wait for its disk.";
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
