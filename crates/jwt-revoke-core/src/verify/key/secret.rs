//! Judging HMAC secrets: long enough, and nothing that anybody could guess.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::verify::{
    Algorithm, KeyError,
    algorithm::{Curve, Family},
    key::{der, pem, public::PublicKey},
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
    if secret == DEMONSTRATION.as_bytes() {
        return Err(KeyError::Weak(WeakSecret::Published));
    }
    match weakness(secret) {
        Some(weakness) => Err(KeyError::Weak(weakness)),
        None => Ok(()),
    }
}

/// In which way `secret` is guessable, if it is: as it stands, or what it is the base64 or the
/// hexadecimal text of.
pub(crate) fn weakness(secret: &[u8]) -> Option<WeakSecret> {
    weakness_of(secret).or_else(|| {
        let decoded = decodings(secret);
        decoded.iter().find_map(|bytes| weakness_of(bytes))
    })
}

fn weakness_of(secret: &[u8]) -> Option<WeakSecret> {
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

/// What a text says if it is base64 or hexadecimal; nothing of less than 16 bytes, in which everything
/// is a pattern.
fn decodings(secret: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(secret) else {
        return Vec::new();
    };
    let text: String = text.split_ascii_whitespace().collect();
    let bare = text.trim_end_matches('=');
    let base64 = [STANDARD_NO_PAD.decode(bare), URL_SAFE_NO_PAD.decode(bare)];
    let decoded = base64.into_iter().flatten().chain(from_hex(&text));
    decoded.filter(|bytes| bytes.len() >= 16).collect()
}

/// A PEM, DER or JWK text of a public key (RFC 8725 §2.1: the classic confusion of algorithms), or a
/// point of a curve, whatever follows it.
fn is_public_key(secret: &[u8]) -> bool {
    let text = String::from_utf8_lossy(secret);
    let text = text.trim_start();
    pem::looks_like(text)
        || (text.starts_with('{') && text.contains("\"kty\""))
        || der::leading_sequence(secret).is_some_and(is_public_der)
        || [Curve::P256, Curve::P384]
            .into_iter()
            .any(|curve| PublicKey::ec_point(curve, secret).is_ok())
}

fn is_public_der(der: &[u8]) -> bool {
    let readable = |algorithm| PublicKey::from_der(algorithm, der).is_ok();
    der::public_key_info(der).is_some()
        || der::public_key_of_certificate(der).is_some()
        || readable(Algorithm::RS256)
}

/// Whether most of a secret follows from a part of it. Random texts are far from each bound, the digits
/// alone among them: of two digits in a row three of ten are neighbours.
fn is_pattern(secret: &[u8]) -> bool {
    let most = |count: usize, of: usize| count * 10 >= of * 7;
    // A part that repeats, with or without a count in it. Of an overlap shorter than that nothing follows.
    let repeats = |period: usize| {
        let pairs = secret.iter().zip(&secret[period..]);
        let same = pairs.filter(|(byte, later)| byte == later).count();
        most(same, secret.len() - period)
    };
    if (1..=secret.len() / 2).any(repeats) {
        return true;
    }
    let mut kinds = [false; 256];
    secret
        .iter()
        .for_each(|byte| kinds[usize::from(*byte)] = true);
    if kinds.into_iter().filter(|there| *there).count() < FEWEST_KINDS {
        return true;
    }
    // Steps of one size, up or down: `abcd`, `2468`, `zyxw`.
    let mut steps = [0; 256];
    for pair in secret.windows(2) {
        steps[usize::from(pair[1].wrapping_sub(pair[0]))] += 1;
    }
    if steps.into_iter().any(|count| most(count, secret.len())) {
        return true;
    }
    let neighbours = secret.windows(2).filter(|pair| {
        let (first, second) = (pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase());
        first.abs_diff(second) <= 1 || are_neighbours(first, second)
    });
    most(neighbours.count(), secret.len())
}

/// Whether two keys stand side by side on a keyboard.
fn are_neighbours(first: u8, second: u8) -> bool {
    KEYBOARD.iter().any(|row| {
        let pairs = row.as_bytes().windows(2);
        let mut pairs = pairs.map(|pair| (pair[0], pair[1]));
        pairs.any(|pair| pair == (first, second) || pair == (second, first))
    })
}

fn is_published(secret: &[u8]) -> bool {
    let published = |example: &str| {
        secret == example.as_bytes()
            || URL_SAFE_NO_PAD.decode(example).is_ok_and(|b| b == secret)
            || STANDARD.decode(example).is_ok_and(|b| b == secret)
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

/// Whether a text says of itself that it is to be replaced, or its letters are, for four fifths, words of
/// which placeholders are made. Digits and signs do not count, unless they stand for letters (`s3cr3t`):
/// they are padding. A run of one letter is padding too.
fn is_placeholder(secret: &[u8]) -> bool {
    if !secret.is_ascii() {
        return false;
    }
    let plain = without_padding(secret.iter().copied());
    let disguised = without_padding(secret.iter().map(|b| letter_of(*b)));
    [plain, disguised].iter().any(|text| {
        let says = |phrase: &&str| {
            text.windows(phrase.len())
                .any(|part| part == phrase.as_bytes())
        };
        PHRASES.iter().any(says) || is_made_of_words(text)
    })
}

fn is_made_of_words(text: &[u8]) -> bool {
    let letters = text.iter().filter(|b| b.is_ascii_lowercase()).count();
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
fn without_padding(secret: impl Iterator<Item = u8>) -> Vec<u8> {
    let plain: Vec<u8> = secret
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| b.to_ascii_lowercase())
        .collect();
    let runs = plain.chunk_by(|a, b| a == b).filter(|run| run.len() < 4);
    runs.flatten().copied().collect()
}

/// The letter that a digit or a sign stands for.
fn letter_of(sign: u8) -> u8 {
    match sign {
        b'0' => b'o',
        b'1' | b'!' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        other => other,
    }
}

/// Of 32 random digits fewer are there once in ten million times.
const FEWEST_KINDS: usize = 6;

/// The rows of keyboards, and the columns of the English one.
const KEYBOARD: &[&str] = &[
    "`1234567890-=",
    "!@#$%^&*()_+",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "0p;/",
];

/// What templates write into a secret that must be replaced, beside random letters.
const PHRASES: &[&str] = &[
    "changeit",
    "changeme",
    "changethis",
    "donotuse",
    "dontuse",
    "examplesecret",
    "insecure",
    "notsecure",
    "notsosecret",
    "placeholder",
    "replaceme",
    "replacethis",
    "securedpassword",
    "tobemodified",
    "yoursecret",
];

/// The secret of the examples' OAuth client, with which they start until they are given another.
const DEMONSTRATION: &str = "kT9xQ2mZr7Vb4LwYc6NdHs8PfJg3EuAo";

/// Text, base64url or hexadecimal; each is refused in its own form and decoded.
const PUBLISHED: &[&str] = &[
    // RFC 7515 appendix A.1, RFC 7517 appendix A.3.
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    // RFC 7520 §3.5.
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    // RFC 7517 appendix C and RFC 7516 appendix A.3.
    "GawgguFyGrWKav7AX4VKUg",
    // Earlier documentation of this workspace.
    "hGg3vWq0aZ6x_4TnYpKcR9sLd2MfBuJ7",
    // The documentation of Flask, Hasura and Directus.
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",
    "255d861b-5ea1-5996-9aa3-922530ec40b1",
    "6116487b-cda1-52c2-b5b5-c8022c45e263",
    // Tutorials for .NET and Node, found in thousands of services.
    "db3OIsj+BXE9NZDy0t8W3TcNekrF+2d/1sFnWG4HnV8TZY30iTOdtVWJG8abWvB1GlOgJuQZdcF2Luqm/hccMw==",
    "401b09eab3c013d4ca54922bb802bec8fd5318192b0a75f201d8b3727429090fb337591abd3e44453b954555b7a0812e1081c39b740293f765eae731f5a65ed1",
    "ByYM000OLlMQG6VVVp1OH7Xzyr7gHuw1qvUC5dcGt3SNM",
    "fedaf7d8863b48e197b9287d492b708e",
    "09f26e402586e2faa8da4c98a35f1b20d6b033c60",
    "09f26e402586e2faa8da4c98a35f1b20d6b033c6097befa8be3486a829587fe2f90a832bd3ff9d42710a4da095a2ce285b009f0c3730cd9b8e1af3eb84df6611",
    // Tutorials of FastAPI and of Spring Boot, found in many services.
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9",
    "9faa372517ac1d389758d3750fc07acf00f542277f26fec1ce4593e93f64e338",
];

/// Of three letters and more, or of two that random text is unlikely to be full of.
const WORDS: &[&str] = &[
    "about",
    "access",
    "actix",
    "add",
    "admin",
    "algorithm",
    "and",
    "any",
    "api",
    "app",
    "application",
    "at",
    "auth",
    "authentication",
    "axum",
    "backend",
    "bar",
    "base64",
    "baz",
    "be",
    "best",
    "bezkoder",
    "bit",
    "bits",
    "blog",
    "boot",
    "by",
    "byte",
    "bytes",
    "can",
    "cannot",
    "change",
    "changeit",
    "changeme",
    "char",
    "character",
    "characters",
    "chars",
    "client",
    "code",
    "commit",
    "company",
    "complex",
    "compose",
    "confidential",
    "config",
    "cookie",
    "cookies",
    "create",
    "custom",
    "database",
    "default",
    "demo",
    "dev",
    "development",
    "django",
    "do",
    "docker",
    "dummy",
    "easy",
    "encrypt",
    "encryption",
    "enough",
    "enter",
    "env",
    "environment",
    "ever",
    "example",
    "express",
    "extremely",
    "fake",
    "fastapi",
    "flask",
    "foo",
    "for",
    "four",
    "from",
    "frontend",
    "game",
    "gen",
    "generate",
    "generated",
    "generator",
    "guess",
    "hardcoded",
    "hash",
    "hasura",
    "have",
    "hello",
    "here",
    "hidden",
    "high",
    "highly",
    "hmac",
    "hs",
    "in",
    "insecure",
    "insert",
    "instead",
    "is",
    "it",
    "java",
    "javainuse",
    "just",
    "jwt",
    "jwts",
    "keep",
    "key",
    "know",
    "knows",
    "laravel",
    "least",
    "length",
    "letmein",
    "local",
    "localhost",
    "login",
    "long",
    "main",
    "master",
    "me",
    "min",
    "minimum",
    "mobile",
    "modified",
    "more",
    "must",
    "my",
    "nest",
    "nestjs",
    "never",
    "new",
    "next",
    "nextauth",
    "no",
    "node",
    "not",
    "of",
    "old",
    "on",
    "only",
    "or",
    "outside",
    "pad",
    "padded",
    "padding",
    "password",
    "phrase",
    "please",
    "postgrest",
    "private",
    "production",
    "project",
    "put",
    "python",
    "qwerty",
    "rails",
    "random",
    "real",
    "really",
    "refresh",
    "replace",
    "root",
    "rust",
    "safe",
    "safely",
    "salt",
    "sample",
    "secret",
    "secure",
    "secured",
    "server",
    "service",
    "session",
    "set",
    "sha",
    "share",
    "shared",
    "shop",
    "should",
    "sign",
    "signing",
    "simple",
    "site",
    "sixty",
    "size",
    "so",
    "some",
    "source",
    "spring",
    "store",
    "strapi",
    "string",
    "strong",
    "supabase",
    "super",
    "symfony",
    "temp",
    "temporary",
    "test",
    "testing",
    "than",
    "that",
    "the",
    "thirty",
    "this",
    "time",
    "to",
    "todo",
    "token",
    "tokio",
    "top",
    "two",
    "ultra",
    "unique",
    "unsafe",
    "use",
    "user",
    "users",
    "valid",
    "value",
    "variable",
    "very",
    "web",
    "website",
    "which",
    "will",
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
            // Templates and tutorials of other frameworks.
            "django-insecure-8x$k2!vq0w9e@r7t5y#u3i1o&p*a4s6d^f",
            "DO NOT USE THIS VALUE. INSTEAD, CREATE A COMPLEX SECRET AND KEEP IT SAFE OUTSIDE OF THE SOURCE CODE.",
            "super-secret-jwt-token-with-at-least-32-characters-long",
            "reallyreallyreallyreallyverysafe!",
            "SomeRandomStringWith32Characters",
            "ThisTokenIsNotSoSecretChangeIt!!!!",
            "======================BezKoder=Spring===========================",
            "JWTAuthenticationHIGHsecuredPasswordVVVp1OH7Xzyr",
            "mySecretKeyForSpringBootApplication12345",
            "This is my custom Secret key for authentication",
            "supersecretnextauthsecretforlocaldev",
            "CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET",
            "toBeModified1,toBeModified2,toBeModified3",
            "changeme-7f3k9x2m5q8w1z4v6b0n-7h2j5l",
            "s3cr3t-jwt-k3y-f0r-my-$3rv3r-2024-01",
            "P@ssw0rd-P4ssword-pa$$word-passw0rd!",
            // The same in base64 and in hexadecimal.
            "bXktc3VwZXItc2VjcmV0LWp3dC1zaWduaW5nLWtleQ==",
            "796f75722d3235362d6269742d736563726574",
        ] {
            let weakness = weak(secret.as_bytes());
            assert!(
                matches!(
                    weakness,
                    Some(WeakSecret::Placeholder | WeakSecret::Pattern)
                ),
                "{secret}: {weakness:?}"
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
            b"qwertyuiopasdfghjklzxcvbnm123456",
            b"QWERTYUIOP1234567890qwertyuiop12",
            b"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,",
            b"poiuytrewqlkjhgfdsamnbvcxz098765",
            b"azertyuiopqsdfghjklmwxcvbn123456",
            b"!@#$%^&*()_+!@#$%^&*(qwertyuiop)",
            b"02468acegikmoqsuwy02468acegikmoqs",
            b"zyxwvutsrqponmlkjihgfedcba987654",
            b"a1b1a2b2a1b2a2b1a1b1a2b2a1b1a2b2",
            b"abc1def2abc3def4abc5def6abc7def8",
            b"0110100110010110100101100110100110010110",
            b"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
        ] {
            assert_eq!(weak(secret), Some(WeakSecret::Pattern), "{secret:?}");
        }
    }

    #[test]
    fn t10_published_examples_are_refused_as_text_and_decoded() {
        let rfc = PUBLISHED[0];
        let decoded = URL_SAFE_NO_PAD.decode(rfc).unwrap();
        assert_eq!(weak(rfc.as_bytes()), Some(WeakSecret::Published));
        assert_eq!(weak(&decoded), Some(WeakSecret::Published));
        let hex = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7";
        for published in PUBLISHED.iter().filter(|published| published.len() >= 32) {
            assert_eq!(
                weak(published.as_bytes()),
                Some(WeakSecret::Published),
                "{published}"
            );
        }
        assert_eq!(weak(hex.as_bytes()), Some(WeakSecret::Published));
        assert_eq!(weak(&from_hex(hex).unwrap()), Some(WeakSecret::Published));
    }

    #[test]
    fn t33_a_public_key_in_disguise_is_no_secret() {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let rsa = aws_lc_rs::signature::KeyPair::public_key(&pair)
            .as_ref()
            .to_vec();
        let key = crate::verify::SigningKey::generate(Algorithm::ES256).unwrap();
        let jwk = key.verification_key().to_jwk().unwrap();
        let member = |name| {
            let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap();
            URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap()
        };
        let point = [&[4][..], &member("x"), &member("y")].concat();
        for key in [rsa, point] {
            for secret in [
                key.clone(),
                [&key[..], b"\n"].concat().clone(),
                STANDARD.encode(&key).into_bytes(),
                URL_SAFE_NO_PAD.encode(&key).into_bytes(),
            ] {
                let is_point_and_more = key.len() == 65 && secret.len() == 66;
                if !is_point_and_more {
                    assert_eq!(weak(&secret), Some(WeakSecret::PublicKey), "{secret:?}");
                }
            }
        }
        assert_eq!(weak(jwk.as_bytes()), Some(WeakSecret::PublicKey));
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
        for _ in 0..400 {
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
