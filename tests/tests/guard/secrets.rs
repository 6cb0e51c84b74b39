//! The application's claims, and I9: what is printed tells no secret.

use std::{fmt::Debug, sync::Arc};

use jwt_revoke_core::{
    Guard, Issuer, Report,
    guard::{NoClaims, Target},
    session::Grant,
    store::{AnyStore, EmbeddedStore},
    verify::{Algorithm, SigningKey},
};
use serde::Deserialize;
use serde_json::json;

use crate::{AUDIENCE, Foreign, ISSUER};

#[derive(Debug, Deserialize)]
struct Mine {
    tenant: String,
}

#[derive(Debug, Deserialize)]
struct Other {
    #[expect(dead_code, reason = "only its type matters")]
    tenant: u32,
}

#[tokio::test]
async fn claims_are_parsed_once_for_all_clones() {
    let foreign = Foreign::new();
    let access = foreign.access(json!({"tenant": "acme"})).await;
    let first = access.claims::<Mine>().unwrap();
    assert_eq!(first.tenant, "acme");
    let again = access.clone().claims::<Mine>().unwrap();
    assert!(Arc::ptr_eq(&first, &again));

    // A second type is read too, and the first stays.
    let raw = access.claims::<serde_json::Value>().unwrap();
    assert_eq!(raw["tenant"], "acme");
    assert!(Arc::ptr_eq(&first, &access.claims::<Mine>().unwrap()));
    access.claims::<NoClaims>().unwrap();
}

#[tokio::test]
async fn i9_claims_that_do_not_fit_are_an_error_that_quotes_no_value() {
    let foreign = Foreign::new();
    let secret = "do-not-print-me";
    let access = foreign.access(json!({"tenant": secret})).await;
    for _ in 0..2 {
        let error = access.claims::<Other>().unwrap_err();
        for text in [
            format!("{error}"),
            format!("{error:?}"),
            Report(&error).to_string(),
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    // A failure of one type is none of another.
    assert_eq!(access.claims::<Mine>().unwrap().tenant, secret);
    access.claims::<NoClaims>().unwrap();
}

/// Texts that must not be seen: the secret itself, and what it looks like in common encodings.
struct Secrets(Vec<String>);

impl Secrets {
    fn of_key(key: &SigningKey) -> Self {
        let file = key.to_key_file();
        // The lines between the markers are the key in base64; the secret of an HMAC one line.
        let mut texts: Vec<_> = file
            .lines()
            .filter(|line| !line.starts_with("-----") && line.len() >= 16)
            .map(|line| line.trim_matches('"').to_owned())
            .collect();
        assert!(!texts.is_empty());
        let longest = texts.iter().map(String::len).max().unwrap();
        assert!(longest >= 32);
        texts.retain(|text| text.len() >= 16);
        Self(texts)
    }

    fn add_token(&mut self, token: &str) {
        self.0.extend(token.split('.').map(str::to_owned));
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        // As `Debug` prints bytes.
        let text = format!("{bytes:?}");
        self.0.push(text[1..text.len() - 1].to_owned());
        self.0
            .push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    }

    #[track_caller]
    fn assert_hidden_in(&self, value: &impl Debug) {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            for secret in &self.0 {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn i9_nothing_prints_a_token_or_a_key() {
    let mut secret = [0; 64];
    for (byte, n) in secret.iter_mut().zip(1_u8..) {
        *byte = n.wrapping_mul(151) ^ 0x5a;
    }
    let keys = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| !algorithm.to_string().ends_with("512"))
        .map(|algorithm| SigningKey::generate(algorithm).unwrap())
        .chain([SigningKey::from_secret(Algorithm::HS256, &secret).unwrap()]);
    for key in keys {
        let mut secrets = Secrets::of_key(&key);
        secrets.add_bytes(&secret);
        let issuer = Issuer::new(key.clone(), ISSUER, AUDIENCE);
        let store = AnyStore::from(EmbeddedStore::in_memory());
        let guard = Guard::new(issuer.verifier(), store.clone());
        let issued = issuer.issue(&guard, "alice", &Grant::new()).await.unwrap();
        secrets.add_token(issued.token());
        let access = guard.check(issued.token()).await.unwrap();

        secrets.assert_hidden_in(&key);
        secrets.assert_hidden_in(&key.verification_key());
        secrets.assert_hidden_in(&issuer);
        secrets.assert_hidden_in(&issuer.verifier());
        secrets.assert_hidden_in(&issuer.verifier().keys());
        secrets.assert_hidden_in(&store);
        secrets.assert_hidden_in(&guard);
        secrets.assert_hidden_in(&issued);
        secrets.assert_hidden_in(&access);
        secrets.assert_hidden_in(&access.verified());
        secrets.assert_hidden_in(&access.registered());
        secrets.assert_hidden_in(&Target::logout(&access));
        secrets.assert_hidden_in(&guard.check(issued.token()));
        guard.revoke(Target::logout(&access)).await.unwrap();
        let denied = guard.check(issued.token()).await.unwrap_err();
        secrets.assert_hidden_in(&denied);
        secrets.assert_hidden_in(&Report(&denied).to_string());

        // Refused ones are no less secret: a client may have sent them to the wrong place.
        for wrong in [
            issued.token().replace('.', "!"),
            format!("{}x", issued.token()),
            issued.token()[1..].to_owned(),
        ] {
            let denied = guard.check(&wrong).await.unwrap_err();
            secrets.assert_hidden_in(&denied);
            secrets.assert_hidden_in(&Report(&denied).to_string());
        }
    }
}
