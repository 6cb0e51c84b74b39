//! A key that verifies.

use std::{fmt, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde::ser::{SerializeMap, Serializer};
use zeroize::Zeroizing;

use crate::{
    defaults,
    token::{KeyId, TokenKind},
    verify::{
        Algorithm, KeyError, header,
        key::{
            jwk, pem,
            public::{PublicKey, thumbprint_of},
            secret,
        },
    },
};

/// A public key or an HMAC secret, pinned to one algorithm. The token's header never chooses how a
/// key is used (RFC 8725 §3.1).
///
/// Its id is the `kid` given to it, else its JWK thumbprint (RFC 7638).
///
/// ```
/// use jwt_revoke_core::verify::{Algorithm, VerificationKey};
///
/// let key = VerificationKey::from_pem(
///     Algorithm::EdDSA,
///     "-----BEGIN PUBLIC KEY-----
/// MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
/// -----END PUBLIC KEY-----",
/// )?;
/// assert_eq!(key.id().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
///
/// let guessable = VerificationKey::from_secret(Algorithm::HS256, b"change-me-in-production-please!!!");
/// assert!(guessable.is_err());
/// # Ok::<_, jwt_revoke_core::verify::KeyError>(())
/// ```
#[derive(Clone)]
pub struct VerificationKey {
    algorithm: Algorithm,
    id: KeyId,
    /// `None` for a secret.
    public: Option<PublicKey>,
    primitive: Primitive,
}

/// The key, made ready for use.
#[derive(Clone)]
enum Primitive {
    /// Hashed in already, which costs as much as a short message.
    Secret(Arc<hmac::Key>),
    Public(DecodingKey),
}

impl VerificationKey {
    /// An HMAC secret: random bytes, at least as many as the hash has (RFC 7518 §3.2).
    ///
    /// # Errors
    ///
    /// [`KeyError::TooShort`], [`KeyError::Weak`] for what others can guess, or
    /// [`KeyError::WrongType`] when `algorithm` is not HMAC.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        secret::judge(algorithm, secret)?;
        Ok(Self::from_judged_secret(algorithm, secret))
    }

    /// A public key in PEM: `PUBLIC KEY` (RFC 7468 §13) or `RSA PUBLIC KEY`. Line breaks may be
    /// written as the two characters `\n`, as in environment variables.
    ///
    /// # Errors
    ///
    /// [`KeyError::Private`] for a private key, [`KeyError::WrongType`] when the key is not one for
    /// `algorithm`, [`KeyError::RsaSize`] and others when it is not sound.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let block = pem::read(text)?;
        match block.label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Self::from_der(algorithm, &block.contents),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => Err(KeyError::Private),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Err(KeyError::Malformed(
                "a certificate; take the public key out of it with `openssl x509 -pubkey -noout`",
            )),
            _ => Err(KeyError::Malformed("the PEM block is not a public key")),
        }
    }

    /// A public key in DER: a `SubjectPublicKeyInfo` with an uncompressed point for ECDSA (RFC 5480
    /// §2), or for RSA also an `RSAPublicKey` (RFC 8017 appendix A.1.1). An RSASSA-PSS key (RFC 4055
    /// §3.1) serves the algorithms that its parameters allow.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        Self::from_public(algorithm, PublicKey::from_der(algorithm, der)?)
    }

    /// A key from the text of a JWK (RFC 7517), with its `kid` and its `alg`. Its first certificate
    /// (`x5c`), if it has one, must hold the same key; nothing else is read from it.
    ///
    /// Without `alg`, the curve says the algorithm; an RSA key is taken for `RS256`, the one that
    /// RFC 7518 §3.1 recommends and that OpenID Connect defaults to; a secret is refused. Private
    /// members are refused, not ignored: a private key that was published is worth nothing.
    ///
    /// # Errors
    ///
    /// [`KeyError`], by reason.
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        jwk::read(json, None)
    }

    /// The same, for one algorithm: what a JWK without `alg` is for, and the only one accepted.
    ///
    /// # Errors
    ///
    /// [`KeyError::OtherAlgorithm`] when the JWK's own `alg` is another; else as
    /// [`from_jwk`](Self::from_jwk).
    pub fn from_jwk_for(algorithm: Algorithm, json: &str) -> Result<Self, KeyError> {
        jwk::read(json, Some(&[algorithm]))
    }

    /// The same key under another id: the `kid` that tokens carry.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidKeyId`] if verifiers would refuse each token that names it: it is empty,
    /// longer than [`MAX_ID_BYTES`](defaults::MAX_ID_BYTES), or has so many characters which JSON
    /// escapes that the header exceeds [`MAX_HEADER_BYTES`](defaults::MAX_HEADER_BYTES).
    pub fn with_id(mut self, id: impl Into<KeyId>) -> Result<Self, KeyError> {
        let id = id.into();
        let is_id = (1..=defaults::MAX_ID_BYTES).contains(&id.as_str().len());
        let own_typ = TokenKind::Access.typ();
        if !is_id || !header::fits(&header::write(self.algorithm, own_typ, &id)) {
            return Err(KeyError::InvalidKeyId);
        }
        self.id = id;
        Ok(self)
    }

    /// The `kid` of its tokens, else the key's thumbprint.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The one algorithm it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key as a JWK (RFC 7517) with `alg`, `use` and `kid`; `None` for a secret.
    pub fn to_jwk(&self) -> Option<String> {
        self.public.as_ref()?;
        serde_json::to_string(self).ok()
    }

    /// Whether both are one public key with one id and for one algorithm. Secrets are not compared, and
    /// so never the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let public = self.public.is_some() && self.public == other.public;
        public && self.algorithm == other.algorithm && self.id == other.id
    }

    pub(super) fn from_public(algorithm: Algorithm, public: PublicKey) -> Result<Self, KeyError> {
        if !public.fits(algorithm) {
            return Err(KeyError::WrongType(algorithm));
        }
        Ok(Self {
            algorithm,
            id: public.thumbprint(),
            primitive: Primitive::Public(public.decoding_key()),
            public: Some(public),
        })
    }

    /// A secret that was judged already.
    ///
    /// Its thumbprint tells nothing to whoever holds a token, which lets secrets be tried as well
    /// (RFC 7638 §7); what can be guessed was refused.
    pub(in crate::verify) fn from_judged_secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        let hash = match algorithm {
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let mut text = Zeroizing::new(String::with_capacity(secret.len() * 2 + 32));
        text.push_str("{\"k\":\"");
        URL_SAFE_NO_PAD.encode_string(secret, &mut text);
        text.push_str("\",\"kty\":\"oct\"}");
        Self {
            algorithm,
            id: thumbprint_of(&text),
            public: None,
            primitive: Primitive::Secret(Arc::new(hmac::Key::new(hash, secret))),
        }
    }

    /// Whether `signature` is this key's over `message`.
    pub(in crate::verify) fn holds(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        let key = match &self.primitive {
            // In constant time.
            Primitive::Secret(key) => return hmac::verify(key, message, signature).is_ok(),
            Primitive::Public(key) => key,
        };
        // The provider by name, never the process-wide one: that panics when another crate of the
        // build has turned the other backend on.
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.primitive(), key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    /// The secret's tag of `message`; `None` if this is no secret.
    pub(super) fn tag(&self, message: &[u8]) -> Option<hmac::Tag> {
        match &self.primitive {
            Primitive::Secret(key) => Some(hmac::sign(key, message)),
            Primitive::Public(_) => None,
        }
    }
}

/// As a JWK. A secret shows nothing but its id.
impl serde::Serialize for VerificationKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.public.iter().flat_map(PublicKey::jwk_members) {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("alg", self.algorithm.name())?;
        map.serialize_entry("use", "sig")?;
        map.serialize_entry("kid", &self.id)?;
        map.end()
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
