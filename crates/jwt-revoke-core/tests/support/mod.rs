//! What the tests of verification share: one key of each algorithm, a clock that stands, a token
//! that is right, and ways to make it wrong.

#![allow(dead_code, reason = "no test needs all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests, called with `json!(..)`"
)]

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jwt_revoke_core::{
    Clock, Timestamp,
    token::{Jti, SessionId},
    verify::{Algorithm, SigningKey, Verifier},
};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "api";
pub(crate) const NOW: u64 = 1_700_000_000;

/// A clock that always shows the same instant.
pub(crate) struct Standing(pub(crate) Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub(crate) fn clock_at(seconds: u64) -> Arc<dyn Clock> {
    Arc::new(Standing(Timestamp::from_seconds(seconds)))
}

/// One key of each algorithm for the whole run: RSA takes its time.
pub(crate) fn key(algorithm: Algorithm) -> &'static SigningKey {
    static KEYS: LazyLock<HashMap<Algorithm, SigningKey>> = LazyLock::new(|| {
        let generate = |algorithm| (algorithm, SigningKey::generate(algorithm).unwrap());
        Algorithm::ALL.into_iter().map(generate).collect()
    });
    &KEYS[&algorithm]
}

/// A verifier of `key`'s tokens, as anybody would set it up, at [`NOW`].
pub(crate) fn verifier(key: &SigningKey) -> Verifier {
    Verifier::new(key.verification_key(), ISSUER, AUDIENCE).with_clock(clock_at(NOW))
}

/// Claims with which nothing is wrong.
pub(crate) fn claims() -> Value {
    let now = Timestamp::from_seconds(NOW);
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "jti": Jti::made_at(now),
        "sid": SessionId::opened_at(now),
        "client_id": "web",
        "iat": NOW,
        "exp": NOW + 900,
        "scope": "read write",
    })
}

/// The same, with some of them replaced.
pub(crate) fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The same, without one of them.
pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(crate) fn access(key: &SigningKey, claims: &Value) -> String {
    key.sign("at+jwt", claims).unwrap()
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A token over any bytes, under any header, with an HMAC by any key.
pub(crate) fn forge(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>, secret: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let signed = format!("{}.{}", encode(header), encode(claims));
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        signed.as_bytes(),
    );
    format!("{signed}.{}", encode(tag))
}

/// A secret that passes, the same in the whole run, so that tests can sign what `sign` would not.
pub(crate) fn secret() -> &'static [u8; 32] {
    static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).unwrap();
        secret
    });
    &SECRET
}

/// The signing key of [`secret`].
pub(crate) fn secret_key() -> SigningKey {
    SigningKey::from_secret(Algorithm::HS256, secret()).unwrap()
}

/// The header that [`secret_key`] writes.
pub(crate) fn secret_header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": secret_key().id().as_str()})
}
