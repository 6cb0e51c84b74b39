//! What a key must be, and what happens when keys change.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests, called with `json!(..)`"
)]

mod support;

use jwt_revoke_core::verify::{
    Algorithm, KeyError, KeySet, KeySetError, SigningKey, VerificationKey, Verifier, VerifyError,
};
use serde_json::{Value, json};
use support::*;

fn jwk_of(algorithm: Algorithm) -> Value {
    serde_json::from_str(&key(algorithm).verification_key().to_jwk().unwrap()).unwrap()
}

/// The JWK of `algorithm` with members replaced (or removed, by `null`).
fn changed(algorithm: Algorithm, changes: Value) -> Result<VerificationKey, KeyError> {
    let mut jwk = jwk_of(algorithm);
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    VerificationKey::from_jwk(&jwk.to_string())
}

const PUBLIC: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[test]
fn a_public_key_survives_the_way_through_a_jwk() {
    for algorithm in PUBLIC {
        let key = key(algorithm);
        let read = VerificationKey::from_jwk(&jwk_of(algorithm).to_string()).unwrap();
        assert_eq!((read.id(), read.algorithm()), (key.id(), algorithm));
        let verifier = Verifier::new(read, ISSUER, AUDIENCE).with_clock(clock_at(NOW));
        assert!(
            verifier.verify(&access(key, &claims())).is_ok(),
            "{algorithm}"
        );
        // Without `kid` the id is the thumbprint, which is what it was.
        let unnamed = changed(algorithm, json!({"kid": null})).unwrap();
        assert_eq!(unnamed.id(), key.id());
    }
}

#[test]
fn a_signing_key_survives_the_way_through_a_file() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm)
            .clone()
            .with_id("kid with \"quotes\"\nand a line")
            .unwrap();
        let file = key.to_key_file();
        let read = SigningKey::from_key_file(&file).unwrap();
        assert_eq!((read.id(), read.algorithm()), (key.id(), algorithm));
        let token = access(&read, &claims());
        assert!(verifier(&key).verify(&token).is_ok(), "{algorithm}");
        assert_eq!(read.to_key_file(), file);
    }
}

#[test]
fn a_key_file_that_is_cut_or_swapped_is_an_error() {
    let file = key(Algorithm::EdDSA).to_key_file();
    for length in 0..file.len() - 1 {
        assert!(
            SigningKey::from_key_file(&file[..length]).is_err(),
            "{length}"
        );
    }
    for (from, to) in [
        ("EdDSA", "ES256"),
        ("EdDSA", "HS256"),
        ("EdDSA", "none"),
        ("alg", "gla"),
    ] {
        assert!(
            SigningKey::from_key_file(&file.replacen(from, to, 1)).is_err(),
            "{to}"
        );
    }
}

#[test]
fn t7_a_jwk_that_is_not_meant_for_verifying_is_refused() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let refused = |changes| changed(algorithm, changes).err();
        assert_eq!(
            refused(json!({"use": "enc"})),
            Some(KeyError::OtherUse("use"))
        );
        assert_eq!(
            refused(json!({"key_ops": ["sign"]})),
            Some(KeyError::OtherUse("key_ops"))
        );
        assert_eq!(
            refused(json!({"key_ops": []})),
            Some(KeyError::OtherUse("key_ops"))
        );
        assert_eq!(refused(json!({"key_ops": ["verify"], "use": null})), None);
        assert_eq!(refused(json!({"d": "AAAA"})), Some(KeyError::Private));
        assert_eq!(refused(json!({"k": "AAAA"})), Some(KeyError::Private));
        assert_eq!(refused(json!({"kid": ""})), Some(KeyError::InvalidKeyId));
        assert!(refused(json!({"kid": 7})).is_some());
        assert!(refused(json!({"kty": null})).is_some());
    }
}

#[test]
fn t7_a_jwk_whose_type_curve_and_algorithm_disagree_is_refused() {
    for (algorithm, changes) in [
        (Algorithm::ES256, json!({"crv": "P-384"})),
        (Algorithm::ES256, json!({"crv": "secp256k1"})),
        (Algorithm::ES256, json!({"crv": null})),
        (Algorithm::ES256, json!({"alg": "ES384"})),
        (Algorithm::ES256, json!({"alg": "HS256"})),
        (Algorithm::ES256, json!({"alg": "ES512"})),
        (Algorithm::ES256, json!({"kty": "OKP"})),
        (Algorithm::ES256, json!({"y": null})),
        (Algorithm::ES256, json!({"x": "AAAA"})),
        (Algorithm::EdDSA, json!({"crv": "X25519"})),
        (Algorithm::EdDSA, json!({"crv": "Ed448"})),
        (Algorithm::EdDSA, json!({"alg": "RS256"})),
        (Algorithm::EdDSA, json!({"x": "AAAA"})),
        (Algorithm::RS256, json!({"alg": "ES256"})),
        (Algorithm::RS256, json!({"alg": "RSA-OAEP"})),
        (Algorithm::RS256, json!({"alg": "none"})),
        (Algorithm::RS256, json!({"kty": "oct"})),
        (Algorithm::RS256, json!({"e": "AQ"})),
        (Algorithm::RS256, json!({"n": encode([0xff; 128])})),
    ] {
        assert!(changed(algorithm, changes.clone()).is_err(), "{changes}");
    }
    let short = changed(Algorithm::RS256, json!({"n": encode([0xff; 128])}));
    assert_eq!(short.err(), Some(KeyError::RsaSize(1024)));
}

#[test]
fn a_jwk_without_alg_is_pinned_by_its_curve_or_to_rs256_or_to_what_the_caller_says() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let key = changed(algorithm, json!({"alg": null})).unwrap();
        assert_eq!(key.algorithm(), algorithm);
    }
    let mut jwk = jwk_of(Algorithm::PS256);
    jwk.as_object_mut().unwrap().remove("alg");
    let jwk = jwk.to_string();
    assert_eq!(
        VerificationKey::from_jwk(&jwk).unwrap().algorithm(),
        Algorithm::RS256
    );
    let named = VerificationKey::from_jwk_for(Algorithm::PS256, &jwk).unwrap();
    assert_eq!(named.algorithm(), Algorithm::PS256);
    let pinned = jwk_of(Algorithm::PS256).to_string();
    let other = VerificationKey::from_jwk_for(Algorithm::RS256, &pinned);
    assert_eq!(
        other.err(),
        Some(KeyError::OtherAlgorithm(Algorithm::RS256))
    );
    let secret = json!({"kty": "oct", "k": encode(secret())}).to_string();
    assert_eq!(
        VerificationKey::from_jwk(&secret).err(),
        Some(KeyError::NoAlgorithm)
    );
    assert!(VerificationKey::from_jwk_for(Algorithm::HS256, &secret).is_ok());
}

#[test]
fn t7_each_key_of_a_set_is_judged_by_itself() {
    let named = |algorithm, kid: &str| {
        let mut jwk = jwk_of(algorithm);
        jwk["kid"] = kid.into();
        jwk
    };
    let mut private = named(Algorithm::ES384, "private");
    private["d"] = "AAAA".into();
    let mut encryption = named(Algorithm::RS256, "encryption");
    encryption["use"] = "enc".into();
    let jwks = json!({"keys": [
        named(Algorithm::ES256, "good"),
        7,
        null,
        {"kty": "EC"},
        {"kty": "unheard-of", "kid": "odd"},
        encryption,
        private,
        named(Algorithm::RS256, "good"),
        {"kty": "oct", "alg": "HS256", "kid": "shared", "k": encode(secret())},
        named(Algorithm::EdDSA, "also good"),
    ], "other": "members"});
    let (set, refused) = KeySet::from_jwks(jwks.to_string()).unwrap();
    let ids: Vec<_> = set.ids().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["good", "also good"]);
    let reasons: Vec<_> = refused.iter().map(|key| (key.index, &key.reason)).collect();
    assert_eq!(reasons.len(), 8);
    assert_eq!(reasons[4], (5, &KeyError::OtherUse("use")));
    assert_eq!(reasons[5], (6, &KeyError::Private));
    assert_eq!(reasons[6], (7, &KeyError::DuplicateKeyId("good".into())));
    assert_eq!(reasons[7], (8, &KeyError::Mixed));
    // The good ones work.
    let verifier = Verifier::new(set, ISSUER, AUDIENCE).with_clock(clock_at(NOW));
    let signing = key(Algorithm::EdDSA).clone().with_id("also good").unwrap();
    assert!(verifier.verify(&access(&signing, &claims())).is_ok());
    // The secret among them does not.
    let shared = secret_key().with_id("shared").unwrap();
    let refused = verifier.verify(&access(&shared, &claims()));
    assert_eq!(refused.err(), Some(VerifyError::UnknownKey));
}

#[test]
fn t7_a_secret_is_left_out_of_a_mixed_set_even_when_it_comes_first() {
    let shared = json!({"kty": "oct", "alg": "HS256", "k": encode(secret())});
    let mixed = json!({"keys": [shared, jwk_of(Algorithm::EdDSA)]}).to_string();
    let (set, refused) = KeySet::from_jwks(mixed).unwrap();
    assert_eq!(set.algorithms(), [Algorithm::EdDSA]);
    assert_eq!(
        (refused[0].index, &refused[0].reason),
        (0, &KeyError::Mixed)
    );
    let alone = json!({"keys": [shared]}).to_string();
    assert_eq!(KeySet::from_jwks(alone).unwrap().0.len(), 1);
}

#[test]
fn t7_a_text_that_is_no_set_of_usable_keys_is_an_error() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[]}x",
    ] {
        assert_eq!(
            KeySet::from_jwks(text).err(),
            Some(KeySetError::Malformed),
            "{text}"
        );
    }
    assert_eq!(
        KeySet::from_jwks(b"{\"keys\":[\"\xff\"]}").err(),
        Some(KeySetError::Malformed)
    );
    let empty = KeySet::from_jwks("{\"keys\":[]}").err();
    assert_eq!(empty, Some(KeySetError::NoUsableKey(Vec::new())));
    let huge = format!("{{\"keys\":[{}7]}}", "7,".repeat(200_000));
    assert_eq!(KeySet::from_jwks(huge).err(), Some(KeySetError::TooLong));
    let deep = format!("{{\"keys\":[{}]}}", "[".repeat(100_000));
    assert!(KeySet::from_jwks(deep).is_err());
}

#[test]
fn t7_a_set_holds_a_bounded_number_of_keys() {
    let mut keys = Vec::new();
    for n in 0..70 {
        let mut jwk = jwk_of(Algorithm::EdDSA);
        jwk["kid"] = format!("k{n}").into();
        keys.push(jwk);
    }
    let (set, refused) = KeySet::from_jwks(json!({"keys": keys}).to_string()).unwrap();
    assert_eq!((set.len(), refused.len()), (64, 6));
    assert!(refused.iter().all(|key| key.reason == KeyError::TooMany));
}

#[test]
fn t7_secrets_and_public_keys_do_not_mix_and_ids_do_not_repeat() {
    let (secret, public) = (
        secret_key().verification_key(),
        key(Algorithm::EdDSA).verification_key(),
    );
    let mixed = KeySet::new([secret.clone(), public.clone()]);
    assert_eq!(mixed.err(), Some(KeyError::Mixed));
    let mixed = KeySet::new([public.clone(), secret]);
    assert_eq!(mixed.err(), Some(KeyError::Mixed));
    let twice = KeySet::new([public.clone(), public.clone()]);
    assert_eq!(
        twice.err(),
        Some(KeyError::DuplicateKeyId(public.id().clone()))
    );
}

#[test]
fn a_published_set_holds_public_members_only() {
    let keys = PUBLIC.map(|algorithm| key(algorithm).verification_key());
    let jwks = KeySet::new(keys).unwrap().to_jwks();
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    for jwk in jwks["keys"].as_array().unwrap() {
        for (name, _) in jwk.as_object().unwrap() {
            let public = ["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid"];
            assert!(public.contains(&name.as_str()), "{name}");
        }
    }
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 9);
    let secret = KeySet::from(secret_key().verification_key());
    assert_eq!(secret.to_jwks(), "{\"keys\":[]}");
    assert_eq!(secret_key().verification_key().to_jwk(), None);
}

#[test]
fn keys_are_rotated_with_overlap_under_a_verifier_in_use() {
    let (old, new) = (key(Algorithm::ES256), key(Algorithm::EdDSA));
    let verifier = verifier(old);
    let clone = verifier.clone();
    let (by_old, by_new) = (access(old, &claims()), access(new, &claims()));
    assert!(clone.verify(&by_old).is_ok());
    assert_eq!(clone.verify(&by_new).err(), Some(VerifyError::UnknownKey));

    let both = KeySet::new([new.verification_key(), old.verification_key()]).unwrap();
    verifier.replace_keys(both);
    assert!(clone.verify(&by_old).is_ok() && clone.verify(&by_new).is_ok());
    assert_eq!(clone.key_ids(), [new.id().clone(), old.id().clone()]);

    verifier.replace_keys(new.verification_key());
    assert_eq!(clone.verify(&by_old).err(), Some(VerifyError::UnknownKey));
    assert!(clone.verify(&by_new).is_ok());
}

#[test]
fn t10_a_weak_secret_is_refused_by_every_door() {
    let weak = b"your-256-bit-secret-padded-to-32-bytes!!";
    assert!(VerificationKey::from_secret(Algorithm::HS256, weak).is_err());
    assert!(SigningKey::from_secret(Algorithm::HS256, weak).is_err());
    let jwk = json!({"kty": "oct", "alg": "HS256", "k": encode(weak)}).to_string();
    assert!(VerificationKey::from_jwk(&jwk).is_err());
    let error = SigningKey::from_secret(Algorithm::HS256, weak).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the secret is a placeholder: generate one, for example with `openssl rand -base64 48`"
    );
}

#[test]
fn t1_a_public_key_given_as_a_secret_is_refused() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let jwk = jwk_of(algorithm).to_string();
        assert!(SigningKey::from_secret(Algorithm::HS256, jwk.as_bytes()).is_err());
    }
    for pem in [ED25519_PUBLIC, P256_PUBLIC] {
        assert!(VerificationKey::from_secret(Algorithm::HS256, pem.as_bytes()).is_err());
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
        assert!(VerificationKey::from_secret(Algorithm::HS256, &der).is_err());
    }
}

#[test]
fn keys_of_openssl_are_read() {
    for (algorithm, private, public) in [
        (Algorithm::EdDSA, ED25519_PRIVATE, ED25519_PUBLIC),
        (Algorithm::ES256, P256_PRIVATE, P256_PUBLIC),
        (Algorithm::ES256, P256_SEC1, P256_PUBLIC),
    ] {
        let signing = SigningKey::from_pem(algorithm, private).unwrap();
        let verifying = VerificationKey::from_pem(algorithm, public).unwrap();
        assert_eq!(signing.id(), verifying.id());
        let verifier = Verifier::new(verifying, ISSUER, AUDIENCE).with_clock(clock_at(NOW));
        assert!(verifier.verify(&access(&signing, &claims())).is_ok());

        // Neither serves as the other, nor for another algorithm.
        assert_eq!(
            SigningKey::from_pem(algorithm, public).err(),
            Some(KeyError::Public)
        );
        assert_eq!(
            VerificationKey::from_pem(algorithm, private).err(),
            Some(KeyError::Private)
        );
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != algorithm)
        {
            assert_eq!(
                SigningKey::from_pem(other, private).err(),
                Some(KeyError::WrongType(other))
            );
            assert_eq!(
                VerificationKey::from_pem(other, public).err(),
                Some(KeyError::WrongType(other))
            );
        }
    }
}

// Made with `openssl genpkey`, `openssl ecparam -genkey` and `openssl pkcs8 -topk8 -nocrypt` for these tests.
const ED25519_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFV/VpX9lkd2Ct2DTbrWNEuGPx1A0ReCDDIYibQVkmJd
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAQX86S2cBkodkIkNS88wTRcoZ+mwEvamnhf2A/hU15YI=
-----END PUBLIC KEY-----
";
const P256_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYfrUEV7JRACsk3nP
Aij8JRGI2yB7pzKI9cXGjSOrL0KhRANCAATMrslCqPAqbbF38XRPpeXIpc9/zErH
wmxca0LMCtHBfdzp5sRa4TWsXw7prBq+3SHhnS9vCyTbekIoykMEMU6c
-----END PRIVATE KEY-----
";
const P256_SEC1: &str = "\
-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGH61BFeyUQArJN5zwIo/CURiNsge6cyiPXFxo0jqy9CoAoGCCqGSM49
AwEHoUQDQgAEzK7JQqjwKm2xd/F0T6XlyKXPf8xKx8JsXGtCzArRwX3c6ebEWuE1
rF8O6awavt0h4Z0vbwsk23pCKMpDBDFOnA==
-----END EC PRIVATE KEY-----
";
const P256_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzK7JQqjwKm2xd/F0T6XlyKXPf8xK
x8JsXGtCzArRwX3c6ebEWuE1rF8O6awavt0h4Z0vbwsk23pCKMpDBDFOnA==
-----END PUBLIC KEY-----
";
