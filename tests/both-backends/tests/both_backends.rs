//! Signing, verifying, keys and key sets work where jsonwebtoken's process-wide provider panics.

use jwt_revoke_core::{
    Clock, SystemClock,
    verify::{Algorithm, KeySet, SigningKey, VerificationKey, Verifier},
};
use serde_json::json;

#[test]
fn the_process_wide_provider_panics_in_this_build() {
    // Else the other test shows nothing.
    let key = jsonwebtoken::EncodingKey::from_secret(b"any").unwrap();
    let header = jsonwebtoken::Header::default();
    let encode = || jsonwebtoken::encode(&header, &json!({}), &key);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(encode)).is_err());
}

#[test]
fn every_algorithm_signs_and_verifies_with_both_backends_in_the_build() {
    let now = SystemClock::new().now().whole_seconds();
    let claims = json!({
        "iss": "https://auth.example.com", "aud": "api", "sub": "alice", "jti": "1",
        "iat": now, "exp": now + 60,
    });
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let key = SigningKey::from_key_file(&key.to_key_file()).unwrap();
        let token = key.sign("at+jwt", &claims).unwrap();
        let mut sets = vec![KeySet::from(key.verification_key())];
        if let Some(jwk) = key.verification_key().to_jwk() {
            sets.push(VerificationKey::from_jwk(&jwk).unwrap().into());
            sets.push(
                KeySet::from_jwks(format!("{{\"keys\":[{jwk}]}}"))
                    .unwrap()
                    .0,
            );
        }
        for keys in sets {
            let verifier = Verifier::new(keys, "https://auth.example.com", "api");
            assert!(verifier.verify(&token).is_ok(), "{algorithm}");
            let (signed, _) = token.rsplit_once('.').unwrap();
            assert!(
                verifier.verify(&format!("{signed}.AAAA")).is_err(),
                "{algorithm}"
            );
        }
    }
}
