//! Known answers: the examples of RFC 7515 appendix A, RFC 7519 and RFC 8037 appendix A.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    clock::{FakeClock, Timestamp},
    verify::{
        Algorithm, KeyError, SigningKey, VerificationKey, Verifier, VerifyError, WeakSecret,
        claims::RawClaims,
        compact::{self, Compact},
        header::Header,
    },
};

/// RFC 7515 appendix A.1, which is RFC 7519 §3.1 as well.
const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const HS256_SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

/// RFC 7515 appendix A.2.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RS256_KEY: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;

/// RFC 7515 appendix A.3.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const ES256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// RFC 8037 appendix A.4; its payload is a sentence and no claims.
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const EDDSA_KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const EDDSA_SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

/// RFC 7519 §6.1.
const UNSECURED: &str = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn holds(key: &VerificationKey, token: &str) -> bool {
    let parts = Compact::split(token).unwrap();
    let signature = compact::decode(parts.signature).unwrap();
    key.holds(parts.signed.as_bytes(), &signature)
}

/// A verifier for which the claims of the examples are enough, at the last moment of their lives.
fn lenient(key: VerificationKey) -> Verifier {
    let last = Timestamp::from_millis(1_300_819_380_000 - 1);
    Verifier::new(key, "joe", "nobody")
        .with_clock(std::sync::Arc::new(FakeClock::new(last)))
        .allow_untyped()
        .allow_missing_audience()
        .allow_missing_issued_at()
        .allow_missing_jti()
        .allow_missing_subject()
}

#[test]
fn rfc_7515_a_1_holds_and_t10_its_published_secret_is_refused() {
    let secret = decode(HS256_SECRET);
    let refused = VerificationKey::from_secret(Algorithm::HS256, &secret);
    assert_eq!(refused.err(), Some(KeyError::Weak(WeakSecret::Published)));

    let key = VerificationKey::from_judged_secret(Algorithm::HS256, &secret);
    assert!(holds(&key, HS256));
    let verified = lenient(key).verify(HS256).unwrap();
    assert_eq!(verified.registered().issuer.as_deref(), Some("joe"));
}

#[test]
fn rfc_7515_a_2_and_a_3_hold() {
    for (token, jwk) in [(RS256, RS256_KEY), (ES256, ES256_KEY)] {
        let key = VerificationKey::from_jwk(jwk).unwrap();
        assert!(holds(&key, token));
        let verified = lenient(key).verify(token).unwrap();
        assert_eq!(
            verified.registered().expires_at,
            Timestamp::from_seconds(1_300_819_380)
        );
        assert_eq!(verified.payload(), decode(token.split('.').nth(1).unwrap()),);
    }
}

#[test]
fn rfc_8037_a_4_holds_and_a_signing_key_makes_it_again() {
    let key = VerificationKey::from_jwk(EDDSA_KEY).unwrap();
    assert!(holds(&key, EDDSA));
    assert_eq!(
        lenient(key.clone()).verify(EDDSA).err(),
        Some(VerifyError::MalformedClaims)
    );

    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend(decode(EDDSA_SEED));
    let signing = SigningKey::from_pkcs8_der(Algorithm::EdDSA, &pkcs8).unwrap();
    assert_eq!(signing.id(), key.id());
    let (signed, signature) = EDDSA.rsplit_once('.').unwrap();
    let again = signing.signature(signed.as_bytes()).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(again), signature);
}

#[test]
fn rfc_7519_6_1_is_refused() {
    let key = VerificationKey::from_jwk(ES256_KEY).unwrap();
    assert_eq!(
        lenient(key).verify(UNSECURED).err(),
        Some(VerifyError::UnsupportedAlgorithm)
    );
}

#[test]
fn rfc_7519_3_1_reads_as_it_says() {
    let parts = Compact::split(HS256).unwrap();
    let header = decode(parts.header);
    let header = Header::parse(&header).unwrap();
    assert_eq!(
        (&*header.alg, header.typ.as_deref()),
        ("HS256", Some("JWT"))
    );
    let payload = decode(parts.payload);
    let claims = RawClaims::parse(&payload, &[]).unwrap();
    assert_eq!(claims.iss.as_deref(), Some("joe"));
}
