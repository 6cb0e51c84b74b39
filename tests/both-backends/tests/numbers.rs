//! Numbers and dates mean what they mean elsewhere, where serde_json keeps numbers as texts.

use std::collections::BTreeSet;

use jwt_revoke_core::{
    Clock, SystemClock,
    revocation::{ClaimName, Digest, Dimension},
    session::Grant,
    token::ClaimValue,
    verify::{Algorithm, SigningKey, Verifier, VerifyError},
};
use serde_json::value::RawValue;

const ISSUER: &str = "https://auth.example.com";

/// The digests of a token in which `tenant` is this JSON.
fn digests(tenant: &str) -> Result<BTreeSet<Digest>, VerifyError> {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let verifier = Verifier::new(key.verification_key(), ISSUER, "api")
        .with_claim_dimension(ClaimName::new("tenant").unwrap());
    let now = SystemClock::new().now().whole_seconds();
    let claims = format!(
        r#"{{"iss":"{ISSUER}","aud":"api","sub":"a","jti":"j","iat":{now}.25,"exp":{},"tenant":{tenant}}}"#,
        now + 60
    );
    let claims = RawValue::from_string(claims).unwrap();
    let verified = verifier.verify(&key.sign("at+jwt", &claims).unwrap())?;
    Ok(verified.lookup().digests.iter().copied().collect())
}

fn digest(canonical: &str) -> Digest {
    let tenant = Dimension::Claim(ClaimName::new("tenant").unwrap());
    Digest::of(&tenant, ISSUER, canonical.as_bytes())
}

#[test]
fn numbers_are_kept_as_texts_in_this_build() {
    // Else the other tests show nothing.
    let value: serde_json::Value = serde_json::from_str("1e400").unwrap();
    assert!(value.is_number());
}

#[test]
fn t31_digests_do_not_depend_on_the_features_of_serde_json() {
    for (json, texts) in [
        ("7", &["n7"][..]),
        ("7.0", &["n7"]),
        ("1e2", &["n100"]),
        ("-0", &["n0"]),
        ("0.5", &["n0.5"]),
        ("18446744073709551615", &["n18446744073709551615"]),
        ("18446744073709551616", &["n18446744073709551616", "n18446744073709552000"]),
        ("[1e1,\"10\"]", &["n10", "s10"]),
    ] {
        let found = digests(json).unwrap();
        for text in texts {
            assert!(found.contains(&digest(text)), "{json} {text}");
        }
        // Those of the token's other dimensions: jti, subject, issuer, key.
        assert_eq!(found.len(), 4 + texts.len(), "{json}");
    }
}

#[test]
fn t31_what_is_refused_elsewhere_is_refused_here() {
    for json in [
        "1e400",
        "-1e309",
        "1e999999999999999999999",
        r#"{"$serde_json::private::Number":"7"}"#,
        r#"{"$serde_json::private::RawValue":"7"}"#,
    ] {
        assert!(matches!(digests(json), Err(VerifyError::InvalidDimension(_))), "{json}");
    }
}

#[test]
fn a_value_is_read_from_json_and_granted_as_elsewhere() {
    let value = serde_json::from_str("18446744073709551616").unwrap();
    let value = ClaimValue::from_json(&value).unwrap();
    assert_eq!(value.canonical(), "n18446744073709551616");
    let claims: serde_json::Value = serde_json::from_str(r#"{"tenant": 1e2, "x": [0.1]}"#).unwrap();
    assert!(Grant::new().with_claims(&claims).is_ok());
}
