//! I8, I9: what stands in labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use jwt_revoke_core::{
    Guard, Verifier,
    guard::Target,
    metrics::{ALL, Kind},
    revocation::ClaimName,
    session::{Grant, Sessions},
    store::EmbeddedStore,
    verify::{Algorithm, SigningKey},
};
use serde_json::{Value, json};

use crate::{AUDIENCE, ISSUER, Recorded, issuer};

/// Stands in every claim of a hostile token.
const MARK: &str = "HOSTILE";

/// Tokens as an attacker, or an issuer that is one, would make them: what they say must not become a
/// label, or memory of the metrics' server is theirs to fill.
fn hostile_tokens(key: &SigningKey) -> Vec<String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let all = json!({
        "iss": ISSUER, "aud": [AUDIENCE, MARK], "iat": now, "exp": now + 600,
        "sub": format!("{MARK}\n\"}} 1\n"), "jti": format!("{MARK}-jti"),
        "sid": format!("{MARK}-sid"), "client_id": format!("{MARK}-client"),
        "azp": format!("{MARK}-azp"), "scope": MARK, "tenant": format!("{MARK}-tenant"),
        MARK: MARK,
    });
    let with = |name: &str, value: Value| {
        let mut claims = all.clone();
        claims[name] = value;
        key.sign("at+jwt", &claims).unwrap()
    };
    vec![
        with("jti", json!(format!("{MARK}-other"))),
        with("iss", json!(MARK)),
        with("aud", json!(MARK)),
        with("exp", json!(MARK)),
        with("sub", json!([MARK])),
        with("tenant", json!({MARK: MARK})),
        key.sign(MARK, &all).unwrap(),
        format!("{MARK}.{MARK}.{MARK}"),
    ]
}

#[tokio::test]
async fn i9_no_label_tells_anything_of_a_token() {
    let recorded = Recorded::new();
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let key = key.with_id(MARK).unwrap();
    let tenant = ClaimName::new("tenant").unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, AUDIENCE)
        .with_claim_dimension(tenant.clone());
    let guard = Guard::new(verifier, EmbeddedStore::in_memory());
    let mut texts = hostile_tokens(&key);
    let mut admitted = 0;
    for token in &texts {
        for _ in 0..2 {
            if let Ok(access) = guard.check(token).await {
                admitted += 1;
                guard.revoke(Target::logout(&access)).await.unwrap();
                guard.revoke(Target::token(&access)).await.unwrap();
                guard
                    .revoke(Target::claim(
                        &tenant,
                        access.claims::<Value>().unwrap()["tenant"]
                            .as_str()
                            .unwrap(),
                    ))
                    .await
                    .unwrap();
            }
        }
    }
    assert!(admitted > 0, "at least one of them is genuine");

    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let sessions = Sessions::new(&guard, issuer);
    let grant = Grant::new().with_device(MARK);
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions.login(attempt, MARK, &grant).await.unwrap();
    guard.check(pair.access_token()).await.unwrap();
    let next = sessions.refresh(pair.refresh_token(), None).await.unwrap();
    sessions.logout(next.refresh_token()).await.unwrap();
    for pair in [&pair, &next] {
        texts.extend([
            pair.access_token().to_owned(),
            pair.refresh_token().to_owned(),
        ]);
    }
    guard.record_metrics();

    let parts: Vec<_> = texts.iter().flat_map(|text| text.split('.')).collect();
    let session = pair.session().as_str();
    let every = recorded.every_series();
    assert!(every.len() > 20, "{every:?}");
    for (name, labels) in every {
        for (label, value) in &labels {
            let text = format!("{name} {label}={value}");
            assert!(!text.contains(MARK) && !text.contains(session), "{text}");
            assert!(!parts.iter().any(|part| text.contains(part)), "{text}");
        }
    }
}

#[tokio::test]
async fn i8_the_number_of_series_does_not_depend_on_tokens() {
    let recorded = Recorded::new();
    let issuer = issuer();
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    guard.record_metrics();
    let before = recorded.every_series().len();
    for n in 0..50 {
        let issued = issuer
            .issue(&guard, format!("user-{n}"), &Grant::new())
            .await
            .unwrap();
        guard.check(issued.token()).await.unwrap();
        guard.check(&issued.token()[1..]).await.unwrap_err();
    }
    guard.record_metrics();
    assert_eq!(recorded.every_series().len(), before);
}

#[test]
fn names_and_labels_are_those_that_prometheus_expects() {
    let mut names = BTreeMap::new();
    for metric in ALL {
        assert!(
            names.insert(metric.name, metric.kind).is_none(),
            "{} twice",
            metric.name
        );
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(metric.name.starts_with("jwt_revoke_") && plain(metric.name));
        assert!(metric.labels.iter().all(|label| plain(label)));
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{metric:?}"
        );
        assert_eq!(
            metric.name.ends_with("_seconds"),
            metric.unit == "seconds",
            "{metric:?}"
        );
        assert_eq!(
            metric.name.ends_with("_bytes"),
            metric.unit == "bytes",
            "{metric:?}"
        );
    }
}

#[test]
fn every_word_that_stands_in_a_label_is_explained() {
    let recorded = Recorded::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(page).unwrap();
    let _guard = Guard::new(issuer().verifier(), EmbeddedStore::in_memory());
    let mut words = BTreeSet::new();
    for (_, labels) in recorded.every_series() {
        for label in ["path", "outcome", "result", "kind", "reason"] {
            words.extend(labels.get(label).cloned());
        }
    }
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        assert!(page.contains(&format!("`{word}`")), "{word}");
    }
}
