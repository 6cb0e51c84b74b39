//! The guard: what it admits, refuses and revokes, over a store that does what it is told.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

mod accepts;
mod cache;
mod dimensions;
mod ended;
mod handed_out;
mod issuing;
mod lifetimes;
mod outage;
mod secrets;
mod sessions;
mod settings;
mod targets;

use std::sync::Arc;

use jwt_revoke_core::{
    Access, Clock, Denied, FakeClock, Guard, Issuer, Timestamp, Verifier,
    revocation::{ClaimName, Dimension},
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::controlled_store::ControlledStore;
use serde_json::{Value, json};

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "api";
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn clock() -> (Arc<FakeClock>, Arc<dyn Clock>) {
    let clock = Arc::new(FakeClock::new(START));
    (Arc::clone(&clock), clock)
}

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDSA).unwrap()
}

fn tenant() -> ClaimName {
    ClaimName::new("tenant").unwrap()
}

/// Another issuer's tokens, dated by `iat`, and a guard over them. All clocks stand still.
struct Foreign {
    clock: Arc<FakeClock>,
    key: SigningKey,
    store: ControlledStore,
    guard: Guard,
}

impl Foreign {
    fn new() -> Self {
        Self::with(|verifier| verifier)
    }

    /// The same with a verifier of another configuration.
    fn with(configure: impl FnOnce(Verifier) -> Verifier) -> Self {
        let (clock, shared) = clock();
        let key = key();
        let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE)
            .with_clock(Arc::clone(&shared))
            .with_claim_dimension(tenant());
        let store = ControlledStore::with_clock(shared);
        Self {
            clock,
            key,
            guard: Guard::new(configure(verifier), store.clone()),
            store,
        }
    }

    /// A good token of this instant, with some claims replaced; `null` removes one.
    #[expect(clippy::needless_pass_by_value, reason = "called with `json!(..)`")]
    fn token(&self, changes: Value) -> String {
        let now = self.clock.now().whole_seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "j", "sid": "s",
            "client_id": "web", "iat": now, "exp": now + 900,
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        self.key.sign("at+jwt", &claims).unwrap()
    }

    /// What [`token`](Self::token) makes, admitted.
    async fn access(&self, changes: Value) -> Access {
        self.guard.check(&self.token(changes)).await.unwrap()
    }

    async fn is_admitted(&self, token: &str) -> bool {
        is_admitted(&self.guard, token).await
    }
}

/// Our own tokens, dated by their ids, and a guard over them, with the system's clock.
fn own() -> (Issuer, ControlledStore, Guard) {
    let issuer = Issuer::new(key(), ISSUER, AUDIENCE);
    let store = ControlledStore::new();
    let guard = Guard::new(issuer.verifier(), store.clone());
    (issuer, store, guard)
}

/// Whether a token opens the door. One that does not must be revoked, and not refused for anything
/// else.
#[track_caller]
fn admits(decision: Result<Access, Denied>) -> bool {
    match decision {
        Ok(_) => true,
        Err(Denied::Revoked { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

async fn is_admitted(guard: &Guard, token: &str) -> bool {
    admits(guard.check(token).await)
}

/// The dimension in which a token is revoked.
async fn revoked_by(guard: &Guard, token: &str) -> Option<Dimension> {
    match guard.check(token).await {
        Err(Denied::Revoked { dimension }) => dimension,
        other => panic!("{other:?}"),
    }
}
