//! Every dimension stops the tokens that have the value, and no others.

use std::time::Duration;

use jwt_revoke_core::{
    Clock as _, Denied,
    guard::{RevokeError, Target},
    revocation::Dimension,
    token::{ClaimValue, Decimal},
    verify::{KeySet, SigningKey, Verifier, VerifyError},
};
use serde_json::{Value, json, value::RawValue};

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

/// A good token in which `tenant` is this JSON, to the letter.
fn of_tenant(foreign: &Foreign, tenant: &str) -> String {
    let now = foreign.clock.now().whole_seconds();
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"alice","jti":"j","iat":{now},"exp":{},"tenant":{tenant}}}"#,
        now + 900
    );
    let claims = RawValue::from_string(claims).unwrap();
    foreign.key.sign("at+jwt", &claims).unwrap()
}

#[tokio::test]
async fn t31_a_number_is_revoked_whatever_its_size_and_spelling() {
    let text = |text: &str| ClaimValue::from(text.parse::<Decimal>().unwrap());
    let two_to_64 = "18446744073709551616";
    let rows: Vec<(ClaimValue, &str, &str)> = vec![
        (text(two_to_64), two_to_64, "18446744073709551617"),
        ((1_u128 << 64).into(), two_to_64, "18446744073709551617"),
        (
            (1_u128 << 64).into(),
            "1.8446744073709551616E19",
            "18446744073709551615",
        ),
        // All that an application has that reads claims into doubles.
        (
            18_446_744_073_709_551_616_f64.into(),
            two_to_64,
            "18446744073709551615",
        ),
        (
            (-(1_i128 << 70)).into(),
            "[1,-1180591620717411303424]",
            "1180591620717411303424",
        ),
        (
            u64::MAX.into(),
            "18446744073709551615",
            "18446744073709551614",
        ),
        (
            i64::MIN.into(),
            "-9223372036854775808",
            "-9223372036854775807",
        ),
        (
            9_007_199_254_740_993_u64.into(),
            "9007199254740993.0",
            "9007199254740992",
        ),
        (100.into(), "1e2", "100.5"),
        (100.0.into(), "100", "1e3"),
        (0.into(), "-0", "1e-9"),
        ((-0.0).into(), "0", "-1"),
        (0.1.into(), "1e-1", "0.11"),
        (0.1.into(), "0.1000000000000000055511151231257827", "0.2"),
        (
            text("0.30000000000000000001"),
            "0.30000000000000000001",
            "0.30000000000000000002",
        ),
        (1e300.into(), "1e300", "1e301"),
    ];
    for (value, dead, alive) in rows {
        let foreign = Foreign::new();
        let tokens = [dead, alive].map(|json| of_tenant(&foreign, json));
        for token in &tokens {
            assert!(foreign.is_admitted(token).await, "{dead} {alive}");
        }
        let target = Target::claim(&tenant(), value.clone());
        foreign.guard.revoke(target).await.unwrap();
        assert!(!foreign.is_admitted(&tokens[0]).await, "{value:?} {dead}");
        assert!(foreign.is_admitted(&tokens[1]).await, "{value:?} {alive}");
    }
}

#[tokio::test]
async fn t31_a_token_whose_value_no_revocation_could_name_is_refused() {
    let foreign = Foreign::new();
    for json in [
        "1e309",
        "1e-500",
        "-1e999999999999",
        r#"{"$serde_json::private::RawValue":"\"acme\""}"#,
        r#"{"$serde_json::private::Number":"7"}"#,
        r#"["acme",{"$serde_json::private::RawValue":"7"}]"#,
    ] {
        let denied = foreign.guard.check(&of_tenant(&foreign, json)).await;
        assert!(
            matches!(
                denied,
                Err(Denied::Invalid(VerifyError::InvalidDimension(_)))
            ),
            "{json}: {denied:?}"
        );
    }
    for number in [f64::NAN, f64::INFINITY] {
        let target = Target::claim(&tenant(), number);
        let error = foreign.guard.revoke(target).await.unwrap_err();
        assert!(matches!(error, RevokeError::NotANumber(_)), "{error:?}");
    }
}
