//! What the benchmark programs measure: tokens, keys, and a store with many entries; and how.

pub mod measure;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use jsonwebtoken::{DecodingKey, Validation};
use jwt_revoke_core::{
    Guard, Issuer, Verifier,
    guard::Consistency,
    revocation::{Dimension, Placement, SHARDS, Shard},
    session::Grant,
    store::{AnyStore, EmbeddedStore, Lookup, Reach, RedisStore, Revocation, Store},
    verify::{Algorithm, KeySet, SigningKey},
};
use serde::Deserialize;

/// The issuer of all tokens.
pub const ISSUER: &str = "https://auth.example.com";
/// Whom they are for.
pub const AUDIENCE: &str = "api";

/// What `jsonwebtoken` is asked to read: the claims that ours reads.
#[derive(Debug, Deserialize)]
#[allow(dead_code, missing_docs)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub sid: String,
    pub jti: String,
    pub client_id: String,
    pub iat: u64,
    pub exp: u64,
}

/// One algorithm, ready to verify one token in both ways.
pub struct Case {
    /// A token.
    pub token: String,
    /// Our verifier for it.
    pub verifier: Verifier,
    /// The baseline's key for it.
    pub key: DecodingKey,
    /// The baseline's checks: the same as ours where it has them.
    pub validation: Validation,
}

impl Case {
    /// A fresh key and a token signed with it.
    ///
    /// # Panics
    ///
    /// When a key cannot be made, which would be a broken build.
    pub fn new(algorithm: Algorithm) -> Self {
        let (key, baseline) = keys(algorithm);
        let issuer = Issuer::new(key, ISSUER, AUDIENCE);
        let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
        let issued = block_on(issuer.issue(&guard, "alice", &Grant::new())).expect("a token");
        Self {
            token: issued.token().to_owned(),
            verifier: issuer.verifier(),
            key: baseline,
            validation: validation(algorithm),
        }
    }

    /// The baseline: `jsonwebtoken` reads and checks the token.
    ///
    /// # Panics
    ///
    /// When the token does not hold.
    pub fn decode(&self) -> Claims {
        let data = jsonwebtoken::decode(&self.token, &self.key, &self.validation);
        data.expect("a token that holds").claims
    }
}

/// The baseline's checks: the same as ours where it has them.
///
/// # Panics
///
/// When the baseline does not know the algorithm.
pub fn validation(algorithm: Algorithm) -> Validation {
    let name = algorithm.to_string();
    let mut validation = Validation::new(name.parse().expect("a name that both know"));
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = 0;
    validation
}

/// An in-memory store with this many entries for other tokens.
///
/// # Panics
///
/// When the store refuses an entry.
pub fn store_with(entries: usize) -> EmbeddedStore {
    let store = EmbeddedStore::in_memory();
    block_on(fill(&store, 0..entries));
    store
}

/// Writes the entries of these numbers, evenly over the shards, as fast as the store takes them.
///
/// # Panics
///
/// When the store refuses an entry.
pub async fn fill(store: &impl Store, numbers: Range<usize>) {
    let starts = numbers.clone().step_by(CALL);
    let calls = starts.map(|start| {
        let end = numbers.end.min(start + CALL);
        async move {
            let revocations: Vec<_> = (start..end).map(entry).collect();
            let written = store.revoke(&revocations).await;
            written.expect("the entries are stored");
        }
    });
    futures::stream::iter(calls)
        .buffer_unordered(4)
        .collect::<Vec<_>>()
        .await;
}

/// The entry of a number: the `jti` of a token that nobody has.
///
/// # Panics
///
/// Never: shards have numbers.
pub fn entry(n: usize) -> Revocation {
    let shard = u8::try_from(n % usize::from(SHARDS)).ok();
    let shard = shard.and_then(Shard::new).expect("the number of a shard");
    Revocation::new(
        Dimension::Jti,
        ISSUER,
        &format!("other-{n}"),
        Placement::One(shard),
        Reach::Forever,
    )
}

/// Writes this many entries into a Redis that is empty, by a handle of their own.
///
/// # Panics
///
/// When the server does not take them.
pub async fn fill_redis(url: &str, entries: usize) {
    let builder = RedisStore::builder(url)
        .with_replica_entries(0)
        .with_write_timeout(Duration::from_secs(60));
    // Nobody has anything to put back.
    let store = builder.with_healing(Duration::ZERO).connect().await;
    fill(&store.expect("the server is there"), 0..entries).await;
}

/// Whether this process knows the entry, without asking the server.
pub fn is_known(store: &RedisStore, entry: &Revocation) -> bool {
    let Placement::One(shard) = entry.placement else {
        return false;
    };
    let digests = [entry.digest];
    let query = Lookup::new(shard, &digests).with_consistency(Consistency::default());
    let found = store.lookup_now(&query);
    found.is_some_and(|found| found.is_ok_and(|found| found.highest().is_some()))
}

/// Waits until the store is ready: with a copy of many entries that is when they have been read.
///
/// # Panics
///
/// When that takes more than five minutes.
pub async fn until_ready(guard: &Guard) {
    let start = Instant::now();
    while let Err(error) = guard.ready().await {
        assert!(start.elapsed() < Duration::from_secs(300), "{error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A guard over `store` that is ready, and the token it is asked about.
///
/// # Panics
///
/// When the store is not ready.
pub fn guard_over(algorithm: Algorithm, store: impl Into<AnyStore>) -> (Guard, Issuer, String) {
    block_on(guard_over_async(algorithm, store))
}

/// The same with a guard that verifies each token each time.
///
/// # Panics
///
/// When the store is not ready.
pub fn cold_guard(algorithm: Algorithm, store: impl Into<AnyStore>) -> (Guard, Issuer, String) {
    let store = store.into();
    let (guard, issuer, token) = guard_over(algorithm, store.clone());
    let cold = Guard::builder(guard.verifier().clone(), store)
        .with_token_cache(0)
        .build();
    block_on(cold.ready()).expect("the store is ready");
    (cold, issuer, token)
}

/// The same, for a store that needs a reactor.
///
/// # Panics
///
/// When the store is not ready.
pub async fn guard_over_async(
    algorithm: Algorithm,
    store: impl Into<AnyStore>,
) -> (Guard, Issuer, String) {
    let key = SigningKey::generate(algorithm).expect("a key can be made");
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::new(issuer.verifier(), store);
    until_ready(&guard).await;
    let issued = issuer
        .issue(&guard, "alice", &Grant::new())
        .await
        .expect("a token");
    (guard, issuer, issued.token().to_owned())
}

/// A guard over `store` that is ready, and this many tokens of users of their own, all of which it has
/// seen.
///
/// # Panics
///
/// When a token is not good.
pub fn warm_guard(
    algorithm: Algorithm,
    store: impl Into<AnyStore>,
    tokens: usize,
) -> (Guard, Vec<String>) {
    block_on(warm_guard_async(algorithm, store, tokens))
}

/// The same, for a store that needs a reactor.
///
/// # Panics
///
/// When a token is not good.
pub async fn warm_guard_async(
    algorithm: Algorithm,
    store: impl Into<AnyStore>,
    tokens: usize,
) -> (Guard, Vec<String>) {
    let (guard, issuer, _) = guard_over_async(algorithm, store).await;
    let mut texts = Vec::new();
    for n in 0..tokens {
        let subject = format!("user-{n}");
        let issued = issuer.issue(&guard, subject, &Grant::new()).await;
        texts.push(issued.expect("a token").token().to_owned());
    }
    for token in &texts {
        guard.check(token).await.expect("a good token");
    }
    (guard, texts)
}

/// The order in which a benchmark asks for one of `tokens`: without end, each as often as any other.
pub struct Shuffled<'a> {
    tokens: &'a [String],
    state: u64,
}

impl<'a> Shuffled<'a> {
    /// The same order in each run.
    pub fn new(tokens: &'a [String]) -> Self {
        Self { tokens, state: 1 }
    }

    /// The next one.
    ///
    /// # Panics
    ///
    /// When there are no tokens.
    pub fn pick(&mut self) -> &'a str {
        // A linear congruential generator (Knuth, MMIX): costs a nanosecond.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let draw = usize::try_from(self.state >> 33).expect("31 bits");
        &self.tokens[draw % self.tokens.len()]
    }
}

/// One key in the forms of both libraries; an HMAC key is the same in every process.
///
/// # Panics
///
/// When a key cannot be made, which would be a broken build.
pub fn keys(algorithm: Algorithm) -> (SigningKey, DecodingKey) {
    if matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    ) {
        let secret: Vec<u8> = (0..64_u8).map(|n| n.wrapping_mul(167) ^ 0x5a).collect();
        let key = SigningKey::from_secret(algorithm, &secret).expect("a strong secret");
        return (key, DecodingKey::from_secret(&secret).expect("not empty"));
    }
    let key = SigningKey::generate(algorithm).expect("a key can be made");
    let jwks = KeySet::from(key.verification_key()).to_jwks();
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&jwks).expect("a key set");
    let baseline = DecodingKey::from_jwk(&jwks.keys[0]).expect("a public key");
    (key, baseline)
}

/// Runs a future that needs no reactor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made")
        .block_on(future)
}

/// Baseline and subject in turns, each round long enough for the clock; the medians, in words.
pub fn compare(mut baseline: impl FnMut(), mut subject: impl FnMut()) -> String {
    let batches = (batch_for(&mut baseline), batch_for(&mut subject));
    let mut pairs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            (
                time(batches.0, &mut baseline),
                time(batches.1, &mut subject),
            )
        })
        .collect();
    let median = |pairs: &mut Vec<(f64, f64)>, key: fn(&(f64, f64)) -> f64| {
        pairs.sort_by(|a, b| key(a).total_cmp(&key(b)));
        key(&pairs[pairs.len() / 2])
    };
    let ratio = median(&mut pairs, |(base, own)| own / base);
    let base = median(&mut pairs, |(base, _)| *base);
    let own = median(&mut pairs, |(_, own)| *own);
    let added = median(&mut pairs, |(base, own)| own - base);
    format!("ratio {ratio:.3}   baseline {base:.0} ns   ours {own:.0} ns   added {added:.0} ns")
}

fn batch_for(run: &mut impl FnMut()) -> u32 {
    let start = Instant::now();
    let mut runs = 0;
    while start.elapsed() < ROUND {
        run();
        runs += 1;
    }
    runs
}

/// Nanoseconds a call.
fn time(batch: u32, run: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..batch {
        run();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(batch)
}

/// The one in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How many entries are written at a time: one script of the usual size a shard.
const CALL: usize = 2048;

const ROUNDS: usize = 61;

const ROUND: Duration = Duration::from_millis(8);
