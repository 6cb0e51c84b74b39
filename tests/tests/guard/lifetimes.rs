//! R6: the arithmetic of lifetimes. An entry is there for as long as its token could work.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::executor::block_on;
use jwt_revoke_core::{
    Clock, FakeClock, Guard, Issuer, Timestamp, Verifier, defaults,
    guard::Target,
    revocation::{Cutoff, Cutoffs, Digest, Horizons, Shard},
    session::Grant,
    store::{AnyStore, EmbeddedStore, Lookup, Revocation, Revoked, Store, StoreError},
    verify::{KeySet, SigningKey},
};
use proptest::prelude::*;
use serde_json::json;

use crate::{AUDIENCE, ISSUER, START, key, tenant};

/// A store that forgets each entry at the first instant at which it may.
struct Forgetful {
    clock: Arc<dyn Clock>,
    horizons: Mutex<Option<Horizons>>,
    entries: Mutex<HashMap<Digest, (Cutoff, Timestamp)>>,
}

impl Forgetful {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            horizons: Mutex::default(),
            entries: Mutex::default(),
        }
    }
}

impl Store for Forgetful {
    async fn lookup(&self, query: &Lookup<'_>) -> Result<Cutoffs, StoreError> {
        let (now, entries) = (self.clock.now(), self.entries.lock().unwrap());
        let find = |digest| {
            let (cutoff, expiry) = *entries.get(digest)?;
            (now < expiry).then_some(cutoff)
        };
        let found = query.digests.iter().enumerate();
        Ok(query.cutoffs(found.filter_map(|(index, digest)| Some((index, find(digest)?)))))
    }

    async fn revoke(&self, revocations: &[Revocation]) -> Result<Revoked, StoreError> {
        let now = self.clock.now();
        let horizons = self.horizons.lock().unwrap().unwrap();
        for revocation in revocations {
            let cutoff = revocation.reach.cutoff(now)?;
            let expiry = revocation.expiry(&horizons, now, cutoff);
            let mut entries = self.entries.lock().unwrap();
            entries.insert(revocation.digest, (cutoff, expiry));
        }
        Ok(Revoked::new(now, revocations.len()))
    }

    async fn now(&self, _: Shard) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn require(&self, horizons: Horizons) -> Result<Horizons, StoreError> {
        let mut held = self.horizons.lock().unwrap();
        let in_force = held.map_or(horizons, |held| held.max(horizons));
        *held = Some(in_force);
        Ok(in_force)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(super) fn stores(clock: &Arc<FakeClock>) -> [(AnyStore, Option<EmbeddedStore>); 2] {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let embedded = EmbeddedStore::builder()
        .with_clock(Arc::clone(&clock))
        .in_memory();
    [
        (Forgetful::new(clock).into(), None),
        (embedded.clone().into(), Some(embedded)),
    ]
}

/// Asks at every instant that arithmetic could get wrong, up to beyond the end of the token.
pub(super) fn never_revives(
    guards: &[&Guard],
    store: Option<&EmbeddedStore>,
    clock: &FakeClock,
    token: &str,
    end: Timestamp,
) {
    let millisecond = Duration::from_millis(1);
    let (start, life) = (clock.now(), end.saturating_since(clock.now()));
    let mut instants: Vec<_> = (0..8).map(|n| start.saturating_add(life * n / 8)).collect();
    for n in (0..4).rev() {
        instants.push(end.saturating_sub(Duration::from_secs(n)));
        instants.push(end.saturating_sub(Duration::from_millis(n)));
    }
    instants.push(end.saturating_add(millisecond));
    instants.push(end.saturating_add(Duration::from_secs(3600)));
    instants.retain(|instant| *instant >= start);
    instants.sort();
    for instant in instants {
        clock.set(instant);
        if let Some(store) = store {
            block_on(store.purge()).unwrap();
        }
        for guard in guards {
            assert!(
                block_on(guard.check(token).into_future()).is_err(),
                "revived at {instant}, {:?} before its end",
                end.saturating_since(instant)
            );
        }
    }
}

fn signed_by(key: &SigningKey) -> KeySet {
    key.verification_key().into()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r6_a_revoked_token_never_revives_before_its_end(
        max_lifetime in prop_oneof![Just(1_u64), 1..86_401_u64],
        leeway_millis in prop_oneof![Just(0), Just(300_000), 0..300_001_u64],
        start_millis in 0..1000_u64,
        // Where in its range each of them lies, from 0 to 1.
        issued in prop_oneof![Just(0.0), Just(1.0), 0.0..1.0],
        lived in prop_oneof![Just(0.0), 0.0..1.0],
        fraction in prop_oneof![Just(0.0), Just(0.001), Just(0.999), 0.0..1.0],
        which in 0..7_usize,
    ) {
        let key = key();
        let leeway = Duration::from_millis(leeway_millis);
        let start = START.saturating_add(Duration::from_millis(start_millis));
        for forgetful in [true, false] {
            let clock = Arc::new(FakeClock::new(start));
            let verifier = Verifier::new(signed_by(&key), ISSUER, AUDIENCE)
                .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
                .with_claim_dimension(tenant())
                .with_max_lifetime(Duration::from_secs(max_lifetime))
                .with_leeway(leeway);
            let [exact, embedded] = stores(&clock);
            let (store, embedded) = if forgetful { exact } else { embedded };
            // The shortest sessions there can be: nothing but the token's own life is covered.
            let guard = Guard::builder(verifier, store)
                .with_session_lifetime(Duration::ZERO)
                .build();

            // From the earliest birth that is still good to the latest.
            let earliest = start.as_millis() as f64 / 1000.0 - max_lifetime as f64;
            let latest = (start.as_millis() + leeway_millis) as f64 / 1000.0;
            let iat = (earliest + (latest - earliest) * issued).floor();
            let exp = iat + max_lifetime as f64 - fraction;
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "j", "sid": "s",
                "client_id": "web", "tenant": "acme", "iat": iat, "exp": exp,
            });
            let token = key.sign("at+jwt", &claims).unwrap();
            let end = Timestamp::from_seconds(exp.ceil() as u64).saturating_add(leeway);
            // Revoked at some instant of its life, and at the first one too.
            let age = end.saturating_since(start).mul_f64(lived);
            clock.set(start.saturating_add(age).min(end.saturating_sub(Duration::from_millis(1))));
            let Ok(access) = block_on(guard.check(&token).into_future()) else {
                // Not one that works now.
                continue;
            };
            let target = [
                Target::token(&access),
                Target::logout(&access),
                Target::jti("j"),
                Target::session("s").of("alice"),
                Target::subject("alice").up_to(access.verified().born_at().min(clock.now())),
                Target::client("web"),
                Target::claim(&tenant(), "acme"),
            ][which].clone();
            // An `iat` ahead of the store's clock is beyond a cutoff of now plus the skew.
            block_on(guard.revoke(target)).unwrap();
            if access.verified().born_at() > clock.now() && which >= 4 {
                continue;
            }
            never_revives(&[&guard], embedded.as_ref(), &clock, &token, end);
        }
    }

    #[test]
    fn r6_an_issued_token_never_revives_before_its_end(
        lifetime in prop_oneof![Just(1_u64), Just(86_400), 1..86_401_u64],
        leeway in prop_oneof![Just(0), Just(300_000), 0..300_001_u64],
        start_millis in 0..1000_u64,
        ahead in prop_oneof![Just(0), Just(5_000), 0..5_001_u64],
        by_session in any::<bool>(),
    ) {
        let leeway = Duration::from_millis(leeway);
        let issuer = Issuer::new(key(), ISSUER, AUDIENCE)
            .with_lifetime(Duration::from_secs(lifetime))
            .with_leeway(leeway);
        let clock = Arc::new(FakeClock::new(
            START.saturating_add(Duration::from_millis(start_millis)),
        ));
        for (store, embedded) in stores(&clock) {
            let verifier = issuer.verifier().with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
            let guard = Guard::builder(verifier, store)
                .with_session_lifetime(Duration::ZERO)
                .build();
            // A cutoff ahead of the clock: no session is born until it is past.
            let cutoff = clock.now().saturating_add(Duration::from_millis(ahead));
            block_on(guard.revoke(Target::subject("alice").up_to(cutoff))).unwrap();
            clock.advance(Duration::from_millis(ahead + 1));
            let issued = block_on(issuer.issue(&guard, "alice", &Grant::new())).unwrap();
            let access = block_on(guard.check(issued.token()).into_future()).unwrap();
            let end = access.expires_at().saturating_add(leeway);
            prop_assert!(end <= clock.now().saturating_add(
                Duration::from_secs(lifetime) + leeway + defaults::HORIZON_MARGIN
            ));
            let target = if by_session {
                Target::logout(&access)
            } else {
                Target::token(&access)
            };
            block_on(guard.revoke(target)).unwrap();
            never_revives(&[&guard], embedded.as_ref(), &clock, issued.token(), end);
        }
    }
}
