//! Judging HMAC secrets: long enough, and nothing that anybody could guess.

use std::borrow::Cow;

use crate::verify::{
    Algorithm, KeyError,
    algorithm::Family,
    key::{pem, public::PublicKey},
};

/// In which way a secret is guessable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakSecret {
    /// Empty, or white space.
    #[error("blank")]
    Blank,
    /// One byte or a short pattern over and over, or a run such as `abcdef`.
    #[error("a simple pattern")]
    Pattern,
    /// A text that stands for a secret in examples: `your-256-bit-secret`, `change-me-in-production`.
    #[error("a placeholder")]
    Placeholder,
    /// A secret printed in a standard, a tutorial or a documentation.
    #[error("a published example")]
    Published,
    /// A public key, given where a secret is wanted: everybody knows it.
    #[error("a public key")]
    PublicKey,
}

/// Whether `secret` can serve `algorithm`.
pub(super) fn judge(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    let Family::Hmac { bytes: needed } = algorithm.family() else {
        return Err(KeyError::WrongType(algorithm));
    };
    if secret.iter().all(u8::is_ascii_whitespace) {
        return Err(KeyError::Weak(WeakSecret::Blank));
    }
    if secret.len() < needed {
        return Err(KeyError::TooShort {
            algorithm,
            needed,
            found: secret.len(),
        });
    }
    match weakness(secret) {
        Some(weakness) => Err(KeyError::Weak(weakness)),
        None => Ok(()),
    }
}

/// In which way `secret` is guessable, if it is.
pub(crate) fn weakness(secret: &[u8]) -> Option<WeakSecret> {
    if is_public_key(secret) {
        return Some(WeakSecret::PublicKey);
    }
    if is_pattern(secret) {
        return Some(WeakSecret::Pattern);
    }
    if is_published(secret) {
        return Some(WeakSecret::Published);
    }
    is_placeholder(secret).then_some(WeakSecret::Placeholder)
}

/// A PEM, DER or JWK text of a public key (RFC 8725 §2.1: the classic confusion of algorithms).
fn is_public_key(secret: &[u8]) -> bool {
    let text = String::from_utf8_lossy(secret);
    let text = text.trim_start();
    pem::looks_like(text)
        || (text.starts_with('{') && text.contains("\"kty\""))
        || [
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
        ]
        .into_iter()
        .any(|algorithm| secret.len() > 32 && PublicKey::from_der(algorithm, secret).is_ok())
}

/// A pattern of up to half the length that repeats, or mostly neighbours that differ by one step at
/// most (three of four: random digits have two of seven).
fn is_pattern(secret: &[u8]) -> bool {
    let repeats = |period: usize| {
        secret
            .iter()
            .zip(&secret[period..])
            .all(|(byte, later)| byte == later)
    };
    if (1..=secret.len() / 2).any(repeats) {
        return true;
    }
    let steps = secret
        .windows(2)
        .filter(|pair| pair[0].abs_diff(pair[1]) <= 1)
        .count();
    steps * 4 > secret.len() * 3
}

fn is_published(secret: &[u8]) -> bool {
    let published = |example: &str| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        secret == example.as_bytes()
            || URL_SAFE_NO_PAD.decode(example).is_ok_and(|b| b == secret)
            || from_hex(example).is_some_and(|b| b == secret)
    };
    PUBLISHED.iter().copied().any(published)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

/// Whether the letters of a text are, for four fifths, words of which placeholders are made.
/// Digits and signs do not count: they are padding. A run of one letter is padding too.
fn is_placeholder(secret: &[u8]) -> bool {
    if !secret.is_ascii() {
        return false;
    }
    let text = without_padding(secret);
    let letters = text.iter().filter(|b| b.is_ascii_lowercase()).count();
    if letters == 0 {
        return false;
    }
    // The most letters that words can cover, up to each position.
    let mut covered = vec![0_usize; text.len() + 1];
    for at in 0..text.len() {
        covered[at + 1] = covered[at + 1].max(covered[at]);
        for word in WORDS {
            if text[at..].starts_with(word.as_bytes()) {
                let end = at + word.len();
                covered[end] = covered[end].max(covered[at] + word.len());
            }
        }
    }
    letters >= 3 && covered[text.len()] * 5 >= letters * 4
}

/// The letters in lower case and the digits, with runs of four and more of one of them taken out.
fn without_padding(secret: &[u8]) -> Cow<'_, [u8]> {
    let plain: Vec<u8> = secret
        .iter()
        .filter(|b| b.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    plain
        .chunk_by(|a, b| a == b)
        .filter(|run| run.len() < 4)
        .flatten()
        .copied()
        .collect::<Vec<u8>>()
        .into()
}

/// Text, base64url or hexadecimal; each is refused in its own form and decoded.
const PUBLISHED: &[&str] = &[
    // RFC 7515 appendix A.1, RFC 7517 appendix A.3.
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    // RFC 7520 §3.5.
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    // RFC 7517 appendix C and RFC 7516 appendix A.3.
    "GawgguFyGrWKav7AX4VKUg",
    // Tutorials of FastAPI and of Spring Boot, found in many services.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9",
    "9faa372517ac1d389758d3750fc07acf00f542277f26fec1ce4593e93f64e338",
];

/// Of three letters and more, or of two that random text is unlikely to be full of.
const WORDS: &[&str] = &[
    "access",
    "admin",
    "and",
    "api",
    "app",
    "application",
    "at",
    "auth",
    "authentication",
    "bar",
    "base64",
    "baz",
    "be",
    "bit",
    "bits",
    "byte",
    "bytes",
    "change",
    "changeit",
    "changeme",
    "char",
    "character",
    "characters",
    "chars",
    "default",
    "demo",
    "dev",
    "development",
    "do",
    "dummy",
    "enough",
    "example",
    "fake",
    "foo",
    "for",
    "generate",
    "hello",
    "here",
    "hmac",
    "hs",
    "in",
    "insecure",
    "insert",
    "is",
    "it",
    "jwt",
    "key",
    "least",
    "length",
    "letmein",
    "long",
    "me",
    "min",
    "minimum",
    "must",
    "my",
    "not",
    "of",
    "only",
    "pad",
    "padded",
    "padding",
    "password",
    "phrase",
    "please",
    "private",
    "production",
    "qwerty",
    "random",
    "real",
    "refresh",
    "replace",
    "rust",
    "safe",
    "sample",
    "secret",
    "secure",
    "server",
    "sha",
    "shared",
    "should",
    "sign",
    "signing",
    "string",
    "super",
    "test",
    "testing",
    "that",
    "the",
    "this",
    "todo",
    "token",
    "use",
    "very",
    "valid",
    "which",
    "with",
    "word",
    "you",
    "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(secret: &[u8]) -> Option<WeakSecret> {
        match judge(Algorithm::HS256, secret) {
            Err(KeyError::Weak(weakness)) => Some(weakness),
            Err(other) => panic!("{other}"),
            Ok(()) => None,
        }
    }

    #[test]
    fn t10_placeholders_are_refused_however_they_are_padded() {
        for secret in [
            "your-256-bit-secret-your-256-bit-key",
            "your-256-bit-secret-padded-to-32-bytes!!",
            "your-256-bit-secret0000000000000000",
            "a-string-secret-at-least-256-bits-long",
            "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
            "change-me-in-production-please-12345",
            "SuperSecretKeyForJWT-DoNotUseInProduction",
            "this is my super secret jwt signing key!!",
            "secret12345678901234567890123456789",
            "my_test_secret_key_for_development_only",
        ] {
            assert_eq!(
                weak(secret.as_bytes()),
                Some(WeakSecret::Placeholder),
                "{secret}"
            );
        }
    }

    #[test]
    fn t10_patterns_are_refused() {
        for secret in [
            &[0_u8; 32][..],
            &[0xff; 64],
            b"secretsecretsecretsecretsecretsecret",
            b"0123456789012345678901234567890123456789",
            b"abcdefghijklmnopqrstuvwxyz123456",
            &(0..64).collect::<Vec<u8>>(),
            b"00000000000000000000000000000001",
            b"changeme________________________________",
            b"secretXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        ] {
            assert_eq!(weak(secret), Some(WeakSecret::Pattern), "{secret:?}");
        }
    }

    #[test]
    fn t10_published_examples_are_refused_as_text_and_decoded() {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let rfc = PUBLISHED[0];
        let decoded = URL_SAFE_NO_PAD.decode(rfc).unwrap();
        assert_eq!(weak(rfc.as_bytes()), Some(WeakSecret::Published));
        assert_eq!(weak(&decoded), Some(WeakSecret::Published));
        let hex = PUBLISHED[3];
        assert_eq!(weak(hex.as_bytes()), Some(WeakSecret::Published));
        assert_eq!(weak(&from_hex(hex).unwrap()), Some(WeakSecret::Published));
    }

    #[test]
    fn t1_an_empty_blank_or_short_secret_is_refused() {
        for blank in [
            &b""[..],
            b" ",
            b"                                     ",
            b"\n\t\r\n",
        ] {
            assert_eq!(weak(blank), Some(WeakSecret::Blank));
        }
        for (algorithm, needed) in [
            (Algorithm::HS256, 32),
            (Algorithm::HS384, 48),
            (Algorithm::HS512, 64),
        ] {
            let mut secret = [0; 64];
            aws_lc_rs::rand::fill(&mut secret).unwrap();
            assert_eq!(judge(algorithm, &secret[..needed]), Ok(()));
            let short = judge(algorithm, &secret[..needed - 1]);
            assert!(
                matches!(short, Err(KeyError::TooShort { .. })),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn random_secrets_pass_in_every_usual_encoding() {
        use base64::{
            Engine as _,
            engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
        };
        for _ in 0..2000 {
            let mut secret = [0; 32];
            aws_lc_rs::rand::fill(&mut secret).unwrap();
            let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
            let digits: String = secret.iter().map(|b| char::from(b'0' + b % 10)).collect();
            assert_eq!(weak(&secret), None, "{secret:?}");
            assert_eq!(weak(STANDARD.encode(secret).as_bytes()), None);
            assert_eq!(weak(URL_SAFE_NO_PAD.encode(secret).as_bytes()), None);
            assert_eq!(weak(hex.as_bytes()), None, "{hex}");
            assert_eq!(weak(digits.as_bytes()), None, "{digits}");
        }
    }
}
