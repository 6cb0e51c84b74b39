//! What a token must be to pass, row by row of the list of attacks.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests, called with `json!(..)`"
)]

mod support;

use std::time::Duration;

use jwt_revoke_core::{
    Timestamp,
    revocation::{ClaimName, Digest, Dimension},
    token::{Jti, SessionId, TokenKind},
    verify::{Algorithm, BornAt, KeySet, SigningKey, VerificationKey, Verifier, VerifyError},
};
use serde_json::json;
use support::*;

/// Why a token with these claims is refused, or `None`.
fn refusal(verifier: &Verifier, claims: &serde_json::Value) -> Option<VerifyError> {
    verifier.verify(&access(&secret_key(), claims)).err()
}

#[test]
fn a_token_of_each_algorithm_passes_and_a_changed_one_does_not() {
    for algorithm in Algorithm::ALL {
        let (key, other) = (key(algorithm), SigningKey::generate(algorithm).unwrap());
        let token = access(key, &claims());
        let verified = verifier(key).verify(&token).unwrap();
        assert_eq!(verified.algorithm(), algorithm);
        assert_eq!(verified.key_id(), key.id());
        assert_eq!(verified.kind(), TokenKind::Access);
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(verified.payload()).unwrap()["sub"],
            "alice"
        );

        let stranger = other.with_id(key.id().as_str()).unwrap();
        let forged = access(&stranger, &claims());
        assert_eq!(
            verifier(key).verify(&forged).err(),
            Some(VerifyError::BadSignature),
            "{algorithm}"
        );
    }
}

#[test]
fn t1_none_in_any_case_is_refused_with_and_without_a_signature() {
    let key = secret_key();
    let verifier = verifier(&key);
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256"] {
        for kid in [Some(key.id().as_str()), None] {
            let mut header = json!({"alg": alg, "typ": "at+jwt"});
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            let signed = forge(header.to_string(), claims().to_string(), secret());
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            assert!(verifier.verify(&signed).is_err(), "{alg:?}");
            assert!(verifier.verify(&format!("{unsigned}.")).is_err(), "{alg:?}");
        }
    }
}

#[test]
fn t1_a_public_key_is_no_hmac_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let key = key(algorithm);
        let verifier = verifier(key);
        let jwk = key.verification_key().to_jwk().unwrap();
        let secrets: Vec<Vec<u8>> = vec![
            jwk.clone().into_bytes(),
            format!("{{\"keys\":[{jwk}]}}").into_bytes(),
            Vec::new(),
            key.id().as_str().into(),
        ];
        for secret in secrets {
            for kid in [Some(key.id().as_str()), None] {
                let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
                let mut header = header;
                if kid.is_none() {
                    header.as_object_mut().unwrap().remove("kid");
                }
                let forged = forge(header.to_string(), claims().to_string(), &secret);
                assert!(verifier.verify(&forged).is_err(), "{algorithm}");
            }
        }
    }
}

#[test]
fn t1_another_size_than_the_keys_own_is_refused() {
    let mut secret = [0; 64];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let pinned = SigningKey::from_secret(Algorithm::HS256, &secret).unwrap();
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let other = SigningKey::from_secret(algorithm, &secret).unwrap();
        assert_eq!(other.id(), pinned.id()); // One secret, one thumbprint.
        assert_eq!(
            verifier(&pinned).verify(&access(&other, &claims())).err(),
            Some(VerifyError::AlgorithmMismatch {
                expected: Algorithm::HS256
            })
        );
    }
    let file = key(Algorithm::RS256).to_key_file();
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let other = SigningKey::from_pem(algorithm, &file).unwrap();
        let token = access(&other, &claims());
        assert_eq!(
            verifier(key(Algorithm::RS256)).verify(&token).err(),
            Some(VerifyError::AlgorithmMismatch {
                expected: Algorithm::RS256
            })
        );
    }
}

#[test]
fn t2_a_key_in_the_header_is_ignored_and_a_strange_kid_refused() {
    let key = secret_key();
    let verifier = verifier(&key);
    // A token that brings the attacker's own key along, and is signed with it.
    let own = [7; 32];
    let mut header = secret_header();
    header["jwk"] = json!({"kty": "oct", "alg": "HS256", "k": encode(own)});
    header["jku"] = "http://127.0.0.1:9/jwks".into();
    header["x5u"] = "http://127.0.0.1:9/cert".into();
    let forged = forge(header.to_string(), claims().to_string(), &own);
    assert_eq!(
        verifier.verify(&forged).err(),
        Some(VerifyError::BadSignature)
    );
    // The same members in a token of ours do no harm.
    let ours = forge(header.to_string(), claims().to_string(), secret());
    assert!(verifier.verify(&ours).is_ok());

    for kid in [
        "../../dev/null",
        "/etc/passwd",
        "x' OR '1'='1",
        "https://evil.example/k",
        "\0",
    ] {
        let mut header = secret_header();
        header["kid"] = kid.into();
        let token = forge(header.to_string(), claims().to_string(), secret());
        assert_eq!(
            verifier.verify(&token).err(),
            Some(VerifyError::UnknownKey),
            "{kid}"
        );
    }
    for kid in [json!(null), json!(7), json!(["a"]), json!({}), json!("")] {
        let mut header = secret_header();
        header["kid"] = kid.clone();
        let token = forge(header.to_string(), claims().to_string(), secret());
        assert_eq!(
            verifier.verify(&token).err(),
            Some(VerifyError::MalformedHeader),
            "{kid}"
        );
    }
    let mut header = secret_header();
    header["kid"] = "k".repeat(1 << 20).into();
    let token = forge(header.to_string(), claims().to_string(), secret());
    assert_eq!(verifier.verify(&token).err(), Some(VerifyError::TooLong));
}

#[test]
fn t3_critical_extensions_and_other_serialisations_are_refused() {
    let verifier = verifier(&secret_key());
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let mut header = secret_header();
        header[name] = value;
        let token = forge(header.to_string(), claims().to_string(), secret());
        assert_eq!(
            verifier.verify(&token).err(),
            Some(VerifyError::UnsupportedHeader(name))
        );
    }
}

#[test]
fn t4_a_token_of_another_kind_is_refused() {
    let key = secret_key();
    for (typ, reason) in [
        ("rt+jwt", VerifyError::OtherType),
        ("logout+jwt", VerifyError::OtherType),
        ("secevent+jwt", VerifyError::OtherType),
        ("dpop+jwt", VerifyError::OtherType),
        ("id_token", VerifyError::OtherType),
        ("", VerifyError::OtherType),
        ("JWT", VerifyError::Untyped),
        ("application/jwt", VerifyError::Untyped),
    ] {
        let token = key.sign(typ, &claims()).unwrap();
        assert_eq!(verifier(&key).verify(&token).err(), Some(reason), "{typ}");
    }
    let refresh = verifier(&key).with_kind(TokenKind::Refresh);
    assert_eq!(
        refresh.verify(&access(&key, &claims())).err(),
        Some(VerifyError::OtherType)
    );
    assert!(
        refresh
            .verify(&key.sign("application/RT+JWT", &claims()).unwrap())
            .is_ok()
    );
    let both = verifier(&key).with_kinds([TokenKind::Access, TokenKind::Refresh]);
    assert!(both.verify(&access(&key, &claims())).is_ok());
}

#[test]
fn t4_untyped_tokens_are_accepted_on_request_unless_they_are_something_else() {
    let key = secret_key();
    let lenient = verifier(&key).allow_untyped();
    let absent = forge(
        json!({"alg": "HS256"}).to_string(),
        claims().to_string(),
        secret(),
    );
    assert_eq!(
        verifier(&key).verify(&absent).err(),
        Some(VerifyError::Untyped)
    );
    assert_eq!(lenient.verify(&absent).unwrap().kind(), TokenKind::Access);
    assert!(lenient.verify(&key.sign("jwt", &claims()).unwrap()).is_ok());
    assert!(
        lenient
            .verify(&key.sign("rt+jwt", &claims()).unwrap())
            .is_err()
    );
    for name in ["events", "at_hash", "c_hash"] {
        let token = key.sign("JWT", &claims_with(json!({name: "x"}))).unwrap();
        assert_eq!(
            lenient.verify(&token).err(),
            Some(VerifyError::OtherType),
            "{name}"
        );
    }
    let refresh = lenient.with_kind(TokenKind::Refresh);
    assert_eq!(refresh.verify(&absent).err(), Some(VerifyError::OtherType));
}

#[test]
fn t5_a_required_claim_that_is_missing_is_refused_until_it_is_allowed() {
    let strict = verifier(&secret_key());
    type Allow = fn(Verifier) -> Verifier;
    let cases: [(&'static str, Option<Allow>); 6] = [
        ("iss", Some(Verifier::allow_any_issuer)),
        ("aud", Some(Verifier::allow_missing_audience)),
        ("exp", None),
        ("iat", Some(Verifier::allow_missing_issued_at)),
        ("sub", Some(Verifier::allow_missing_subject)),
        ("jti", Some(Verifier::allow_missing_jti)),
    ];
    for (name, allow) in cases {
        let claims = claims_without(name);
        assert_eq!(
            refusal(&strict, &claims),
            Some(VerifyError::MissingClaim(name))
        );
        if let Some(allow) = allow {
            assert_eq!(refusal(&allow(strict.clone()), &claims), None, "{name}");
        }
    }
}

#[test]
fn t5_a_claim_of_the_wrong_type_is_refused_even_where_it_may_be_missing() {
    let lenient = verifier(&secret_key())
        .allow_any_issuer()
        .allow_any_audience()
        .allow_missing_audience()
        .allow_missing_issued_at()
        .allow_missing_jti()
        .allow_missing_subject();
    let ids = ["iss", "sub", "jti", "sid", "client_id", "azp"];
    let wrong = [
        json!(null),
        json!(7),
        json!({}),
        json!(["x"]),
        json!(""),
        json!(true),
    ];
    for name in ids {
        for value in &wrong {
            let claims = claims_with(json!({name: value}));
            assert_eq!(
                refusal(&lenient, &claims),
                Some(VerifyError::InvalidClaim(name)),
                "{value}"
            );
        }
    }
    for value in [
        json!(null),
        json!(7),
        json!({}),
        json!([]),
        json!([AUDIENCE, 7]),
        json!([AUDIENCE, null]),
    ] {
        let claims = claims_with(json!({"aud": value}));
        assert_eq!(
            refusal(&lenient, &claims),
            Some(VerifyError::InvalidClaim("aud")),
            "{value}"
        );
    }
    for value in [json!(["read"]), json!(null), json!("a  b"), json!(" ")] {
        let claims = claims_with(json!({"scope": value}));
        assert_eq!(
            refusal(&lenient, &claims),
            Some(VerifyError::InvalidClaim("scope")),
            "{value}"
        );
    }
}

#[test]
fn t5_another_issuer_or_audience_is_refused() {
    let verifier = verifier(&secret_key());
    for iss in [
        "https://auth.example.com/",
        "https://AUTH.example.com",
        "evil",
    ] {
        assert_eq!(
            refusal(&verifier, &claims_with(json!({"iss": iss}))),
            Some(VerifyError::OtherIssuer)
        );
    }
    for aud in [json!("API"), json!(["a", "b"]), json!("api ")] {
        assert_eq!(
            refusal(&verifier, &claims_with(json!({"aud": aud}))),
            Some(VerifyError::OtherAudience)
        );
    }
    assert_eq!(
        refusal(&verifier, &claims_with(json!({"aud": ["other", AUDIENCE]}))),
        None
    );
    let two = verifier.with_audience("other");
    assert_eq!(refusal(&two, &claims_with(json!({"aud": "other"}))), None);
}

#[test]
fn t5_claims_that_are_not_one_plain_object_are_refused() {
    let verifier = verifier(&secret_key());
    let good = claims().to_string();
    let twice = good.replacen('{', "{\"sub\":\"mallory\",", 1);
    let escaped = good.replacen('{', "{\"\\u0073ub\":\"mallory\",", 1);
    for (payload, reason) in [
        (twice, VerifyError::DuplicateClaim),
        (escaped, VerifyError::DuplicateClaim),
        (format!("[{good}]"), VerifyError::MalformedClaims),
        (format!("{good}{good}"), VerifyError::MalformedClaims),
        (String::new(), VerifyError::MalformedClaims),
        ("null".to_owned(), VerifyError::MalformedClaims),
    ] {
        let token = forge(secret_header().to_string(), &payload, secret());
        assert_eq!(verifier.verify(&token).err(), Some(reason), "{payload}");
    }
}

#[test]
fn t5_a_token_of_the_future_is_refused_beyond_leeway_and_the_skew_of_clocks() {
    let verifier = verifier(&secret_key());
    let lenient = verifier.clone().with_leeway(Duration::from_secs(10));
    for (name, skew, reason) in [
        ("nbf", 5, VerifyError::NotYetValid),
        ("iat", 5, VerifyError::IssuedInFuture),
    ] {
        let with = |ahead: u64| claims_with(json!({name: NOW + ahead}));
        assert_eq!(refusal(&verifier, &with(skew)), None);
        assert_eq!(refusal(&verifier, &with(skew + 1)), Some(reason.clone()));
        assert_eq!(refusal(&lenient, &with(skew + 10)), None);
        assert_eq!(refusal(&lenient, &with(skew + 11)), Some(reason));
    }
    // However much is asked for, it is minutes.
    let greedy = verifier.with_leeway(Duration::MAX);
    assert_eq!(greedy.leeway(), Duration::from_secs(300));
}

#[test]
fn t6_a_token_lives_until_exp_and_leeway_and_not_a_millisecond_longer() {
    let key = secret_key();
    let token = access(&key, &claims_with(json!({"exp": NOW + 10})));
    for (leeway, lapses) in [(0, NOW + 10), (7, NOW + 17)] {
        let at = |millis: u64| {
            verifier(&key)
                .with_leeway(Duration::from_secs(leeway))
                .with_clock(std::sync::Arc::new(Standing(Timestamp::from_millis(
                    millis,
                ))))
        };
        assert!(at(lapses * 1000 - 1).verify(&token).is_ok());
        assert_eq!(
            at(lapses * 1000).verify(&token).err(),
            Some(VerifyError::Expired)
        );
    }
}

#[test]
fn t6_an_exp_that_no_denylist_can_hold_is_refused() {
    let verifier = verifier(&secret_key());
    for exp in [
        "1e19",
        "10000000000000000000",
        "-1",
        "-1e3",
        "\"1700000900\"",
        "null",
        "1e400",
        "NaN",
        "true",
        "[1]",
    ] {
        let claims = claims().to_string();
        let old = format!("\"exp\":{}", NOW + 900);
        assert!(claims.contains(&old));
        let token = forge(
            secret_header().to_string(),
            claims.replace(&old, &format!("\"exp\":{exp}")),
            secret(),
        );
        assert!(verifier.verify(&token).is_err(), "{exp}");
    }
    let fractional = claims_with(json!({"exp": NOW as f64 + 0.25}));
    let verified = verifier
        .verify(&access(&secret_key(), &fractional))
        .unwrap();
    assert_eq!(
        verified.registered().expires_at,
        Timestamp::from_seconds(NOW + 1)
    );
}

#[test]
fn t6_a_token_that_lives_too_long_is_refused() {
    let day = 24 * 60 * 60;
    let verifier = verifier(&secret_key());
    let lives =
        |iat: u64, exp: u64| refusal(&verifier, &claims_with(json!({"iat": iat, "exp": exp})));
    assert_eq!(lives(NOW, NOW + day), None);
    assert_eq!(lives(NOW, NOW + day + 1), Some(VerifyError::LivesTooLong));
    // An issuer whose clock is ahead by the skew that is allowed, and by more.
    assert_eq!(lives(NOW + 5, NOW + 5 + day), None);
    assert_eq!(lives(NOW + 6, NOW + 7), Some(VerifyError::IssuedInFuture));
    // Both dates are rounded, and fractions of a second give or take nothing.
    for fraction in [0.0004, 0.25, 0.999_6] {
        let dated = |iat: u64, exp: u64| {
            let (iat, exp) = (iat as f64 + fraction, exp as f64 + fraction);
            refusal(&verifier, &claims_with(json!({"iat": iat, "exp": exp})))
        };
        assert_eq!(dated(NOW, NOW + day), None, "{fraction}");
        let longer = dated(NOW, NOW + day + 1);
        assert_eq!(longer, Some(VerifyError::LivesTooLong), "{fraction}");
    }
    // Made long ago to live for long: what is left of its life does not matter.
    assert_eq!(lives(NOW - day, NOW + 1), Some(VerifyError::LivesTooLong));
    let undated = verifier.clone().allow_missing_issued_at();
    let mut claims = claims_without("iat");
    claims["exp"] = (NOW + day + 5 + 1).into();
    assert_eq!(refusal(&undated, &claims), Some(VerifyError::LivesTooLong));
    let short = verifier.with_max_lifetime(Duration::from_secs(60));
    assert_eq!(
        refusal(&short, &support::claims()),
        Some(VerifyError::LivesTooLong)
    );
}

#[test]
fn t8_the_twin_of_an_ecdsa_signature_has_the_same_digests() {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let key = key(Algorithm::ES256);
    let verifier = verifier(key);
    let token = access(key, &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = decode(signature);
    let mut borrow = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.rem_euclid(256) as u8;
    }
    let twin = format!("{signed}.{}", encode(signature));
    assert_ne!(token, twin);
    let (one, two) = (
        verifier.verify(&token).unwrap(),
        verifier.verify(&twin).unwrap(),
    );
    assert_eq!(one.lookup().digests, two.lookup().digests);
    assert_eq!(one.lookup().jti, two.lookup().jti);
    assert_eq!(one.shard(), two.shard());
}

#[test]
fn t8_other_spellings_of_the_claims_have_the_same_digests() {
    let verifier = verifier(&secret_key());
    let plain = claims();
    let token = forge(secret_header().to_string(), plain.to_string(), secret());
    let spaced = serde_json::to_string_pretty(&plain)
        .unwrap()
        .replace("alice", "\\u0061lice");
    let respelt = forge(secret_header().to_string(), spaced, secret());
    let (one, two) = (
        verifier.verify(&token).unwrap(),
        verifier.verify(&respelt).unwrap(),
    );
    assert_eq!(one.lookup().digests, two.lookup().digests);
}

#[test]
fn t9_hostile_texts_are_refused() {
    let key = secret_key();
    let verifier = verifier(&key);
    let token = access(&key, &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let deep = claims_with(json!({})).to_string().replacen(
        '{',
        &format!("{{\"deep\":{}{},", "[".repeat(1500), "]".repeat(1500)),
        1,
    );
    let huge = claims_with(json!({"x": "x".repeat(1 << 20)})).to_string();
    let mut invalid = claims().to_string().into_bytes();
    let at = invalid.windows(5).position(|w| w == b"alice").unwrap();
    invalid[at] = 0xff;
    let texts = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{token}."),
        format!("{token}.{token}"),
        format!("{token}="),
        format!("{token}\0"),
        format!("{token}\r\n"),
        format!(" {token}"),
        format!("{signed}.{signature}AA"),
        format!("{signed}."),
        format!(".{signed}.{signature}"),
        forge(secret_header().to_string(), deep, secret()),
        forge(secret_header().to_string(), huge, secret()),
        forge(secret_header().to_string(), invalid, secret()),
        forge(
            format!("{{\"x\":\"{}\"", "x".repeat(1 << 20)),
            claims().to_string(),
            secret(),
        ),
        "é".repeat(100),
        "a.b.c".repeat(1 << 18),
    ];
    for text in texts {
        let start: String = text.chars().take(60).collect();
        assert!(verifier.verify(&text).is_err(), "{start}");
    }
}

#[test]
fn t9_no_change_of_a_single_character_is_accepted() {
    // Every character of the alphabet in turn at every place, for a token short enough for it; so
    // also every setting of the trailing bits.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
    for algorithm in [Algorithm::HS256, Algorithm::EdDSA] {
        let key = key(algorithm);
        let verifier = verifier(key);
        let token = access(key, &claims());
        assert!(verifier.verify(&token).is_ok());
        for at in 0..token.len() {
            // All of them where trailing bits are; elsewhere a sample that moves along.
            let step = if at + 2 >= token.len() { 1 } else { 17 };
            for replacement in alphabet.iter().skip(at % step).step_by(step) {
                let mut bytes = token.clone().into_bytes();
                if bytes[at] == *replacement {
                    continue;
                }
                bytes[at] = *replacement;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(verifier.verify(&changed).is_err(), "{at}");
            }
            assert!(verifier.verify(&token[..at]).is_err());
            let mut shorter = token.clone();
            shorter.remove(at);
            assert!(verifier.verify(&shorter).is_err());
        }
    }
}

#[test]
fn t9_garbage_never_panics_the_reader_of_claims() {
    // Signed garbage: the readers of header and claims see it, not only the signature check.
    let verifier = verifier(&secret_key());
    let (header, payload) = (secret_header().to_string(), claims().to_string());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for _ in 0..20_000 {
        let mut parts = [header.clone().into_bytes(), payload.clone().into_bytes()];
        let part = &mut parts[random(2)];
        for _ in 0..=random(3) {
            let at = random(part.len());
            match random(4) {
                0 => part[at] = random(256) as u8,
                1 => part[at] = b"{}[]\",:\\0-e.un"[random(14)],
                2 => part.truncate(at.max(1)),
                _ => part.insert(at, b"{}[]\",:\\0-e.un"[random(14)]),
            }
        }
        let [header, payload] = parts;
        let _ = verifier.verify(&forge(header, payload, secret()));
    }
}

#[test]
fn t11_odd_ids_are_only_texts_and_long_ones_are_refused() {
    let verifier = verifier(&secret_key());
    let mut seen = std::collections::HashSet::new();
    for jti in [
        "user:alice",
        "a:b",
        "{tag}",
        "*",
        "a\nb",
        "a\0b",
        "jr:{0}:deny:x",
        "日本",
    ] {
        let token = access(&secret_key(), &claims_with(json!({"jti": jti})));
        let verified = verifier.verify(&token).unwrap();
        let digest = verified.lookup().digests[0];
        assert_eq!(verified.dimension(0), Some(&Dimension::Jti));
        assert_eq!(digest, Digest::of(&Dimension::Jti, ISSUER, jti.as_bytes()));
        assert!(seen.insert(digest));
    }
    let long = claims_with(json!({"jti": "j".repeat(1025)}));
    assert_eq!(
        refusal(&verifier, &long),
        Some(VerifyError::InvalidClaim("jti"))
    );
}

#[test]
fn t12_the_same_ids_at_two_issuers_share_no_digest() {
    let any = verifier(&secret_key()).allow_any_issuer();
    let digests = |iss: Option<&str>| {
        let mut claims = claims_with(json!({"iss": iss, "jti": "1", "sid": "s", "azp": "spa"}));
        if iss.is_none() {
            claims.as_object_mut().unwrap().remove("iss");
        }
        let verified = any.verify(&access(&secret_key(), &claims)).unwrap();
        verified.lookup().digests.to_vec()
    };
    let issuers = [Some(ISSUER), Some("https://other.example"), None];
    let mut all: Vec<_> = issuers.into_iter().flat_map(digests).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((count, all.len()), (21, 21));
}

#[test]
fn a_token_has_one_digest_for_each_value_it_can_be_revoked_by() {
    let tenant = ClaimName::new("tenant").unwrap();
    let key = secret_key();
    let verifier = verifier(&key).with_claim_dimension(tenant.clone());
    let claims = claims_with(json!({
        "jti": "1", "sid": "s", "azp": "web", "tenant": ["7", 7, 7.0, "7"],
    }));
    let verified = verifier.verify(&access(&key, &claims)).unwrap();
    let of = |dimension: &Dimension, value: &str| Digest::of(dimension, ISSUER, value.as_bytes());
    let tenant = Dimension::Claim(tenant);
    let expected = [
        of(&Dimension::Jti, "1"),
        of(&Dimension::Session, "s"),
        of(&Dimension::Subject, "alice"),
        of(&Dimension::Client, "web"), // `client_id` and `azp` agree.
        of(&Dimension::Issuer, ISSUER),
        of(&Dimension::Key, key.id().as_str()),
        of(&tenant, "s7"),
        of(&tenant, "n7"),
    ];
    assert_eq!(verified.lookup().digests, expected);
    assert_eq!(verified.lookup().jti, Some("1"));
    assert_eq!(verified.dimension(7), Some(&tenant));
    assert_eq!(verified.dimension(8), None);
}

#[test]
fn a_claim_that_is_a_dimension_and_has_no_usable_value_is_refused() {
    let name = ClaimName::new("tenant").unwrap();
    let verifier = verifier(&secret_key()).with_claim_dimension(name.clone());
    let seventeen: Vec<u8> = (0..17).collect();
    for value in [
        json!(null),
        json!(true),
        json!({}),
        json!([["a"]]),
        json!(["a", null]),
        json!(seventeen),
    ] {
        assert_eq!(
            refusal(&verifier, &claims_with(json!({"tenant": value}))),
            Some(VerifyError::InvalidDimension(name.clone())),
            "{value}"
        );
    }
    assert_eq!(refusal(&verifier, &claims()), None);
    assert_eq!(
        refusal(&verifier, &claims_with(json!({"tenant": []}))),
        None
    );
}

#[test]
fn our_own_tokens_are_born_with_their_session() {
    let key = secret_key();
    let ours = verifier(&key).with_born_at(BornAt::Ids);
    let opened = Timestamp::from_millis(NOW * 1000 - 60_123);
    let made = Timestamp::from_millis(NOW * 1000 - 7);
    let claims = claims_with(json!({
        "sid": SessionId::opened_at(opened), "jti": Jti::made_at(made),
    }));
    let token = access(&key, &claims);
    assert_eq!(ours.verify(&token).unwrap().born_at(), opened);
    // The same text from somebody else: ids are not clocks there.
    assert_eq!(
        verifier(&key).verify(&token).unwrap().born_at(),
        Timestamp::from_seconds(NOW)
    );

    let mut sessionless = claims;
    sessionless.as_object_mut().unwrap().remove("sid");
    let born = ours.verify(&access(&key, &sessionless)).unwrap().born_at();
    assert_eq!(born, made);
}

#[test]
fn our_own_tokens_must_tell_their_birth() {
    let key = secret_key();
    let ours = verifier(&key).with_born_at(BornAt::Ids);
    let v4 = "0b6c3c52-6b3d-4f0e-8f38-9b5f3c1f6a01";
    // A `jti` with a date does not mend a `sid` without one.
    assert_eq!(
        refusal(&ours, &claims_with(json!({"sid": v4}))),
        Some(VerifyError::UnknownBirth)
    );
    let ahead = |millis| SessionId::opened_at(Timestamp::from_millis(NOW * 1000 + millis));
    assert_eq!(
        refusal(&ours, &claims_with(json!({"sid": ahead(5000)}))),
        None
    );
    assert_eq!(
        refusal(&ours, &claims_with(json!({"sid": ahead(5001)}))),
        Some(VerifyError::BornInFuture)
    );
}

#[test]
fn a_foreign_token_without_iat_is_older_than_every_cutoff() {
    let key = secret_key();
    let lenient = verifier(&key).allow_missing_issued_at();
    let token = access(&key, &claims_without("iat"));
    assert_eq!(lenient.verify(&token).unwrap().born_at(), Timestamp::EPOCH);
}

#[test]
fn a_token_without_kid_is_tried_against_the_keys_of_its_algorithm_only() {
    let header = json!({"alg": "HS256", "typ": "at+jwt"});
    let bare = forge(header.to_string(), claims().to_string(), secret());
    let ours = secret_key();
    let others = (0..3).map(|_| SigningKey::generate(Algorithm::HS256).unwrap());
    let set = |before: usize| {
        let keys = others
            .clone()
            .take(before)
            .map(|key| key.verification_key());
        let keys: Vec<VerificationKey> = keys.chain([ours.verification_key()]).collect();
        KeySet::new(keys).unwrap()
    };
    let verifier = Verifier::new(set(3), ISSUER, AUDIENCE).with_clock(clock_at(NOW));
    assert!(verifier.verify(&bare).is_ok());

    let es = Verifier::new(key(Algorithm::ES256).verification_key(), ISSUER, AUDIENCE);
    assert_eq!(es.verify(&bare).err(), Some(VerifyError::UnknownKey));

    // The fifth key of an algorithm is not reached.
    let fourth = SigningKey::generate(Algorithm::HS256).unwrap();
    let mut five = vec![fourth.verification_key()];
    five.extend(set(3).iter().cloned());
    let five = KeySet::new(five).unwrap();
    verifier.replace_keys(five);
    assert_eq!(
        verifier.verify(&bare).err(),
        Some(VerifyError::BadSignature)
    );
}

#[test]
fn what_a_refusal_and_a_debug_text_say_holds_no_token_and_no_key() {
    let key = secret_key();
    let verifier = verifier(&key);
    let token = access(&key, &claims_with(json!({"private": "s3cr3t-claim"})));
    let verified = verifier.verify(&token).unwrap();
    let texts = format!(
        "{verifier:?} {verified:?} {key:?} {:?}",
        key.verification_key()
    );
    let encoded = encode(secret());
    assert!(!texts.contains("s3cr3t-claim") && !texts.contains(&encoded));
    assert!(!texts.contains(&format!("{:?}", secret())));
}
