//! Every dimension stops the tokens that have the value, and no others.

use std::time::Duration;

use jwt_revoke_core::{
    Clock as _,
    guard::Target,
    revocation::Dimension,
    verify::{KeySet, SigningKey, Verifier},
};
use serde_json::{Value, json};

use crate::{AUDIENCE, Foreign, ISSUER, key, revoked_by, tenant};

const OTHER: &str = "https://other.example.com";

/// What is revoked; claims of a token that is stopped by it, and by which dimension; claims of one
/// that lives.
type Row = (Target, Value, Dimension, Value);

fn rows() -> Vec<Row> {
    let claim = || Dimension::Claim(tenant());
    let other = || json!({"jti": "j2", "sid": "s2", "sub": "bob", "client_id": "app"});
    vec![
        (
            Target::jti("j"),
            json!({"sid": "s2"}),
            Dimension::Jti,
            json!({"jti": "j2"}),
        ),
        (
            Target::jti("j").of("alice"),
            json!({}),
            Dimension::Jti,
            json!({"jti": "J"}),
        ),
        (
            Target::session("s"),
            json!({"jti": "j2"}),
            Dimension::Session,
            json!({"sid": "s2"}),
        ),
        (
            Target::session("s"),
            json!({}),
            Dimension::Session,
            json!({"sid": null}),
        ),
        (
            Target::session("s").of("alice"),
            json!({}),
            Dimension::Session,
            json!({"sid": "S"}),
        ),
        (
            Target::subject("alice"),
            json!({"jti": "j2", "sid": null}),
            Dimension::Subject,
            json!({"sub": "bob"}),
        ),
        (
            Target::client("web"),
            json!({"sub": "bob"}),
            Dimension::Client,
            json!({"client_id": "app"}),
        ),
        (
            Target::client("web"),
            json!({"client_id": null, "azp": "web"}),
            Dimension::Client,
            json!({"client_id": null, "azp": "app"}),
        ),
        // Both name a client, and each of them counts.
        (
            Target::client("web"),
            json!({"client_id": "app", "azp": "web"}),
            Dimension::Client,
            json!({"client_id": "app", "azp": "app"}),
        ),
        (
            Target::claim(&tenant(), "7"),
            json!({"tenant": "7"}),
            claim(),
            json!({"tenant": 7}),
        ),
        (
            Target::claim(&tenant(), 7_i64),
            json!({"tenant": 7}),
            claim(),
            json!({"tenant": "7"}),
        ),
        (
            Target::claim(&tenant(), 7_i64),
            json!({"tenant": 7.0}),
            claim(),
            json!({"tenant": 7.5}),
        ),
        (
            Target::claim(&tenant(), "acme"),
            json!({"tenant": ["other", "acme", 1]}),
            claim(),
            json!({"tenant": ["other", 1]}),
        ),
        (
            Target::claim(&tenant(), "acme"),
            json!({"tenant": "acme"}),
            claim(),
            other(),
        ),
    ]
}

#[tokio::test]
async fn each_dimension_stops_its_own_tokens_and_no_others() {
    for (target, dead, dimension, alive) in rows() {
        let foreign = Foreign::new();
        let (dead, alive) = (foreign.token(dead), foreign.token(alive));
        for token in [&dead, &alive] {
            assert!(foreign.is_admitted(token).await, "{target:?}");
        }
        foreign.guard.revoke(target.clone()).await.unwrap();
        let by = revoked_by(&foreign.guard, &dead).await;
        assert_eq!(by, Some(dimension), "{target:?}");
        assert!(foreign.is_admitted(&alive).await, "{target:?}");
    }
}

#[tokio::test]
async fn a_revoked_issuer_ends_what_it_issued_up_to_then() {
    let foreign = Foreign::new();
    let token = foreign.token(json!({"sub": "bob"}));
    foreign.guard.revoke(Target::issuer()).await.unwrap();
    let by = revoked_by(&foreign.guard, &token).await;
    assert_eq!(by, Some(Dimension::Issuer));
    foreign.clock.advance(Duration::from_secs(6));
    assert!(foreign.is_admitted(&foreign.token(json!({}))).await);
}

#[tokio::test]
async fn a_revoked_key_ends_its_tokens_whatever_their_dates_and_no_other_key() {
    let foreign = Foreign::new();
    let (leaked, other) = (key(), key().with_id("next").unwrap());
    let keys = [leaked.verification_key(), other.verification_key()];
    foreign
        .guard
        .verifier()
        .replace_keys(KeySet::new(keys).unwrap());
    let sign = |key: &SigningKey| {
        let now = foreign.clock.now().whole_seconds();
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "jti": "j", "iat": now, "exp": now + 60});
        key.sign("at+jwt", &claims).unwrap()
    };
    assert!(foreign.is_admitted(&sign(&leaked)).await);
    // By the thumbprint, since it was given no other id.
    let target = Target::key(leaked.id().as_str());
    foreign.guard.revoke(target).await.unwrap();
    foreign.clock.advance(Duration::from_secs(3600));
    let by = revoked_by(&foreign.guard, &sign(&leaked)).await;
    assert_eq!(by, Some(Dimension::Key));
    assert!(foreign.is_admitted(&sign(&other)).await);

    foreign.guard.revoke(Target::key("next")).await.unwrap();
    assert!(!foreign.is_admitted(&sign(&other)).await);
}

#[tokio::test]
async fn t12_the_same_value_at_two_issuers_is_two_values() {
    let key = key();
    let targets = [
        Target::jti("j"),
        Target::jti("j").of("alice"),
        Target::session("s"),
        Target::session("s").of("alice"),
        Target::subject("alice"),
        Target::client("web"),
        Target::client("partner"),
        Target::claim(&tenant(), "acme"),
        Target::issuer(),
        Target::key(key.id().as_str()),
    ];
    for target in targets {
        // Whichever of them the verifier calls its own.
        for (here, there) in [(ISSUER, OTHER), (OTHER, ISSUER)] {
            let mut foreign = Foreign::with(Verifier::allow_any_issuer);
            foreign
                .guard
                .verifier()
                .replace_keys(key.verification_key());
            foreign.key = key.clone();
            let at =
                |issuer| foreign.token(json!({"iss": issuer, "azp": "partner", "tenant": "acme"}));
            let (dead, alive) = (at(here), at(there));
            let target = target.clone().issued_by(here);
            foreign.guard.revoke(target.clone()).await.unwrap();
            assert!(!foreign.is_admitted(&dead).await, "{target:?}");
            assert!(foreign.is_admitted(&alive).await, "{target:?}");
        }
    }
}

#[tokio::test]
async fn t12_a_token_at_hand_is_revoked_at_its_own_issuer() {
    type Make = fn(&jwt_revoke_core::Access) -> Target;
    for make in [Target::token as Make, Target::logout] {
        let foreign = Foreign::with(Verifier::allow_any_issuer);
        let other = json!({"iss": OTHER});
        let access = foreign.access(other.clone()).await;
        foreign.guard.revoke(make(&access)).await.unwrap();
        assert!(!foreign.is_admitted(&foreign.token(other)).await);
        assert!(foreign.is_admitted(&foreign.token(json!({}))).await);
    }
}
