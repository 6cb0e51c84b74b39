//! Reading a JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2), each member of meaning with its type.

use std::borrow::Cow;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::verify::{
    Algorithm, KeyError, VerificationKey,
    algorithm::{Curve, Family},
    key::{der, public::PublicKey},
};

/// The members that matter. A member that occurs twice is an error of serde's.
#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow, default, rename = "use")]
    usage: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key_ops: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    y: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    k: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    x5c: Option<&'a RawValue>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
}

/// Reads the text of a JWK. `wanted` are the algorithms the caller has named.
pub(super) fn read(json: &str, wanted: Option<&[Algorithm]>) -> Result<VerificationKey, KeyError> {
    let jwk: Jwk<'_> = serde_json::from_str(json).map_err(|_| KeyError::Malformed("not a JWK"))?;
    if jwk.usage.as_ref().is_some_and(|usage| usage != "sig") {
        return Err(KeyError::OtherUse("use"));
    }
    if let Some(ops) = &jwk.key_ops {
        let twice = |(at, op): (usize, &Cow<'_, str>)| ops[..at].contains(op);
        if ops.iter().enumerate().any(twice) {
            return Err(KeyError::Malformed("a value occurs twice in \"key_ops\""));
        }
        if !ops.iter().any(|op| op == "verify") {
            return Err(KeyError::OtherUse("key_ops"));
        }
    }
    let algorithm = jwk.algorithm(wanted)?;
    let key = match algorithm.family() {
        Family::Hmac { .. } => {
            let secret = Zeroizing::new(member(&jwk.k)?);
            VerificationKey::from_secret(algorithm, &secret)?
        }
        _ if jwk.is_private() => return Err(KeyError::Private),
        Family::Rsa => {
            let public = PublicKey::rsa(&member(&jwk.n)?, &member(&jwk.e)?)?;
            jwk.public_key(algorithm, public)?
        }
        Family::Ec(curve) => {
            let public = PublicKey::ec(curve, &member(&jwk.x)?, &member(&jwk.y)?)?;
            jwk.public_key(algorithm, public)?
        }
        Family::Ed25519 => {
            let public = PublicKey::ed25519(&member(&jwk.x)?)?;
            jwk.public_key(algorithm, public)?
        }
    };
    match jwk.kid {
        Some(kid) => key.with_id(&*kid),
        None => Ok(key),
    }
}

/// The `kid` and the `kty` of a JWK that may be unusable otherwise.
pub(super) fn peek(json: &str) -> (Option<String>, Option<String>) {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow, default)]
        kid: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        kty: Option<Cow<'a, str>>,
    }

    let peek = serde_json::from_str::<Peek<'_>>(json);
    peek.map_or((None, None), |peek| {
        (peek.kid.map(Cow::into_owned), peek.kty.map(Cow::into_owned))
    })
}

impl Jwk<'_> {
    /// The algorithm, and that `kty` and `crv` are those it takes.
    fn algorithm(&self, wanted: Option<&[Algorithm]>) -> Result<Algorithm, KeyError> {
        let named = match &self.alg {
            Some(name) => {
                Some(Algorithm::from_name(name).ok_or_else(|| unsupported("alg", Some(name)))?)
            }
            None => None,
        };
        match (named, wanted) {
            (Some(named), Some(wanted)) if !wanted.contains(&named) => {
                return Err(match wanted {
                    [wanted] => KeyError::OtherAlgorithm(*wanted),
                    _ => KeyError::NotListed,
                });
            }
            _ => {}
        }
        let crv = self.crv.as_deref();
        let natural = match &*self.kty {
            "RSA" => Some(Algorithm::RS256),
            "EC" => match crv {
                Some("P-256") => Some(Algorithm::ES256),
                Some("P-384") => Some(Algorithm::ES384),
                _ => return Err(unsupported("crv", crv)),
            },
            "OKP" => match crv {
                Some("Ed25519") => Some(Algorithm::EdDSA),
                _ => return Err(unsupported("crv", crv)),
            },
            "oct" => None,
            other => return Err(unsupported("kty", Some(other))),
        };
        let algorithm = match (named, wanted) {
            (Some(named), _) => named,
            (None, Some([wanted])) => *wanted,
            (None, Some(wanted)) => {
                let fitting = wanted.iter().find(|algorithm| self.fits(**algorithm));
                *fitting.ok_or(KeyError::NotListed)?
            }
            (None, None) => natural.ok_or(KeyError::NoAlgorithm)?,
        };
        if !self.fits(algorithm) {
            return Err(KeyError::WrongType(algorithm));
        }
        Ok(algorithm)
    }

    /// Whether `kty` and `crv` are those that `algorithm` takes.
    fn fits(&self, algorithm: Algorithm) -> bool {
        let (kty, crv) = match algorithm.family() {
            Family::Hmac { .. } => ("oct", None),
            Family::Rsa => ("RSA", None),
            Family::Ec(curve) => ("EC", Some(Curve::name(curve))),
            Family::Ed25519 => ("OKP", Some("Ed25519")),
        };
        self.kty == kty && crv.is_none_or(|name| self.crv.as_deref() == Some(name))
    }

    /// The public key of these members, which the first certificate must hold too (RFC 7517 §4.7). A
    /// certificate that cannot be read is passed over: nothing is taken from it.
    fn public_key(
        &self,
        algorithm: Algorithm,
        public: PublicKey,
    ) -> Result<VerificationKey, KeyError> {
        let certificate = self.first_certificate();
        let certified = certificate
            .as_deref()
            .and_then(der::public_key_of_certificate);
        if certified.is_some_and(|der| PublicKey::from_der(algorithm, der).as_ref() != Ok(&public))
        {
            return Err(KeyError::OtherCertificate);
        }
        VerificationKey::from_public(algorithm, public)
    }

    fn first_certificate(&self) -> Option<Vec<u8>> {
        let chain: Vec<Cow<'_, str>> = serde_json::from_str(self.x5c?.get()).ok()?;
        STANDARD.decode(chain.first()?.as_bytes()).ok()
    }

    fn is_private(&self) -> bool {
        let private = [
            &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth,
        ];
        self.k.is_some() || private.into_iter().any(Option::is_some)
    }
}

fn member(text: &Option<Cow<'_, str>>) -> Result<Vec<u8>, KeyError> {
    let text = text
        .as_deref()
        .ok_or(KeyError::Malformed("a member of the JWK is missing"))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::Malformed("a member of the JWK is not base64url"))
}

fn unsupported(member: &'static str, value: Option<&str>) -> KeyError {
    KeyError::Unsupported {
        member,
        value: value.unwrap_or_default().chars().take(40).collect(),
    }
}
