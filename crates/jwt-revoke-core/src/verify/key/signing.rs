//! A key that signs.

use std::{fmt, sync::OnceLock};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    defaults,
    token::{KeyId, TokenKind},
    verify::{
        Algorithm, KeyError, SignError, VerificationKey,
        algorithm::{Curve, Family},
        header,
        key::{
            der, file, pem,
            public::{PublicKey, check_rsa_use},
            secret,
        },
    },
};

/// A private key or an HMAC secret, pinned to one algorithm.
///
/// Its id, which goes into the `kid` of its tokens, is that of its [`VerificationKey`].
///
/// ```
/// use jwt_revoke_core::verify::{Algorithm, SigningKey};
///
/// let key = SigningKey::generate(Algorithm::EdDSA)?;
/// let token = key.sign("at+jwt", &serde_json::json!({"sub": "alice"}))?;
/// assert_eq!(token.split('.').count(), 3);
///
/// // Kept in a file that only its owner can read, and read from it again.
/// let kept = key.to_key_file();
/// assert_eq!(SigningKey::from_key_file(&kept)?.id(), key.id());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    /// PKCS#8, or the secret.
    material: Zeroizing<Vec<u8>>,
    /// `None` for a secret, which signs as it verifies.
    primitive: Option<EncodingKey>,
    verification: VerificationKey,
    /// The headers of access and of refresh tokens, as they stand in a token.
    headers: OnceLock<[Box<str>; 2]>,
}

impl SigningKey {
    /// A new key: RSA of 2048 bits, or a secret as long as its hash.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generation`] when the system has no randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Generation;
        match algorithm.family() {
            Family::Hmac { bytes } => {
                let mut secret = Zeroizing::new(vec![0; bytes]);
                rand::fill(&mut secret).map_err(failed)?;
                Self::from_secret(algorithm, &secret)
            }
            Family::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                Self::from_rsa(algorithm, &pair)
            }
            Family::Ec(curve) => {
                let pair = EcdsaKeyPair::generate(signing(curve)).map_err(failed)?;
                Self::from_ec(algorithm, curve, &pair)
            }
            Family::Ed25519 => {
                Self::from_ed25519(algorithm, &Ed25519KeyPair::generate().map_err(failed)?)
            }
        }
    }

    /// An HMAC secret; see [`VerificationKey::from_secret`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        secret::judge(algorithm, secret)?;
        Ok(Self {
            material: Zeroizing::new(secret.to_vec()),
            primitive: None,
            verification: VerificationKey::from_judged_secret(algorithm, secret),
            headers: OnceLock::new(),
        })
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS#8, RFC 7468 §10), `RSA PRIVATE KEY` or
    /// `EC PRIVATE KEY`. Encrypted ones are not supported. Line breaks may be written as the two
    /// characters `\n`, as in environment variables.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for a public key, [`KeyError::WrongType`] when the key is not one for
    /// `algorithm`, [`KeyError::RsaSize`] for RSA below 2048 bits.
    pub fn from_pem(algorithm: Algorithm, text: &str) -> Result<Self, KeyError> {
        let block = pem::read(text)?;
        let wrong = |_| KeyError::WrongType(algorithm);
        match (block.label, algorithm.family()) {
            ("PRIVATE KEY", _) => Self::from_pkcs8_der(algorithm, &block.contents),
            ("RSA PRIVATE KEY" | "EC PRIVATE KEY", Family::Rsa | Family::Ec(_))
                if !der::is_one_element(&block.contents) =>
            {
                Err(KeyError::Malformed(
                    "the private key is not one element of DER",
                ))
            }
            ("RSA PRIVATE KEY", Family::Rsa) => {
                let pair = RsaKeyPair::from_der(&block.contents).map_err(wrong)?;
                Self::from_rsa(algorithm, &pair)
            }
            ("EC PRIVATE KEY", Family::Ec(curve)) => {
                let pair = EcdsaKeyPair::from_private_key_der(signing(curve), &block.contents)
                    .map_err(wrong)?;
                Self::from_ec(algorithm, curve, &pair)
            }
            ("RSA PRIVATE KEY" | "EC PRIVATE KEY", _) => Err(KeyError::WrongType(algorithm)),
            ("PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE", _) => Err(KeyError::Public),
            ("OPENSSH PRIVATE KEY", _) => Err(KeyError::Malformed(
                "a key of OpenSSH; make one with `openssl genpkey`",
            )),
            _ => Err(KeyError::Malformed("the PEM block is not a private key")),
        }
    }

    /// A private key in DER: PKCS#8 (RFC 5208, RFC 5958), not encrypted.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_pkcs8_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let wrong = |_| KeyError::WrongType(algorithm);
        let (identifier, inner) = der::private_key_info(der)
            .ok_or(KeyError::Malformed("not DER of a private key in PKCS#8"))?;
        match algorithm.family() {
            Family::Hmac { .. } => Err(KeyError::WrongType(algorithm)),
            Family::Rsa => {
                check_rsa_use(identifier, algorithm)?;
                let pair = RsaKeyPair::from_der(inner).map_err(wrong)?;
                Self::from_rsa(algorithm, &pair)
            }
            Family::Ec(curve) => {
                let pair = EcdsaKeyPair::from_pkcs8(signing(curve), der).map_err(wrong)?;
                Self::from_ec(algorithm, curve, &pair)
            }
            Family::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(wrong)?;
                Self::from_ed25519(algorithm, &pair)
            }
        }
    }

    /// Reads what [`to_key_file`](Self::to_key_file) wrote.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] when the text is not such a file, else as for the key in it.
    pub fn from_key_file(text: &str) -> Result<Self, KeyError> {
        file::read(text)
    }

    /// The key, its algorithm and its id as a text to be kept in a file: lines `alg: ..` and
    /// `kid: ..`, then one PEM block, PKCS#8 (`PRIVATE KEY`, which `openssl pkey` reads too) or a
    /// `SECRET KEY`. The text is wiped from memory when it is dropped.
    pub fn to_key_file(&self) -> Zeroizing<String> {
        file::write(self, &self.material)
    }

    /// The same key under another id.
    ///
    /// # Errors
    ///
    /// As [`VerificationKey::with_id`].
    pub fn with_id(mut self, id: impl Into<KeyId>) -> Result<Self, KeyError> {
        self.verification = self.verification.with_id(id)?;
        self.headers = OnceLock::new();
        Ok(self)
    }

    /// What the `kid` of its tokens says.
    pub fn id(&self) -> &KeyId {
        self.verification.id()
    }

    /// The one algorithm it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.verification.algorithm()
    }

    /// The key that verifies what this one signs: the public one, or the same secret.
    pub fn verification_key(&self) -> VerificationKey {
        self.verification.clone()
    }

    /// Signs claims: a compact JWS (RFC 7515 §7.1) whose header is `alg`, `typ` and `kid`.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the claims are no JSON object or too long for a verifier.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, SignError> {
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, claims).map_err(SignError::Serialize)?;
        if json.first() != Some(&b'{') {
            return Err(SignError::NotAnObject);
        }
        let made;
        let header = match self.header_of(typ)? {
            Some(header) => header,
            None => {
                made = self.header(typ)?;
                &made
            }
        };
        let mut token = String::with_capacity(header.len() + json.len() * 4 / 3 + 128);
        token.push_str(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(json, &mut token);
        self.append_signature(&mut token)?;
        if token.len() > defaults::MAX_TOKEN_BYTES {
            return Err(SignError::TooLong);
        }
        Ok(token)
    }

    /// The header of the kind of token that `typ` names, made once; `None` for any other.
    fn header_of(&self, typ: &str) -> Result<Option<&str>, SignError> {
        let kinds = [TokenKind::Access, TokenKind::Refresh];
        let Some(index) = kinds.iter().position(|kind| kind.typ() == typ) else {
            return Ok(None);
        };
        if let Some(headers) = self.headers.get() {
            return Ok(Some(&headers[index]));
        }
        let [access, refresh] = kinds.map(|kind| self.header(kind.typ()));
        let headers = [access?.into(), refresh?.into()];
        Ok(Some(&self.headers.get_or_init(|| headers)[index]))
    }

    /// A header as it stands in a token.
    fn header(&self, typ: &str) -> Result<String, SignError> {
        let header = header::write(self.algorithm(), typ, self.id());
        if !header::fits(&header) {
            return Err(SignError::HeaderTooLong);
        }
        Ok(URL_SAFE_NO_PAD.encode(header))
    }

    /// Adds a dot and the signature over what stands there.
    fn append_signature(&self, token: &mut String) -> Result<(), SignError> {
        if let Some(tag) = self.verification.tag(token.as_bytes()) {
            token.push('.');
            URL_SAFE_NO_PAD.encode_string(tag, token);
        } else {
            let signature = self.signature(token.as_bytes())?;
            token.push('.');
            URL_SAFE_NO_PAD.encode_string(signature, token);
        }
        Ok(())
    }

    pub(in crate::verify) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let Some(key) = &self.primitive else {
            let tag = self.verification.tag(message);
            return tag
                .map(|tag| tag.as_ref().to_vec())
                .ok_or(SignError::Signature);
        };
        // The provider by name, as in `VerificationKey::holds`.
        let signer = (DEFAULT_PROVIDER.signer_factory)(&self.algorithm().primitive(), key)
            .map_err(|_| SignError::Signature)?;
        signer.try_sign(message).map_err(|_| SignError::Signature)
    }

    fn from_rsa(algorithm: Algorithm, pair: &RsaKeyPair) -> Result<Self, KeyError> {
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let public = PublicKey::rsa(&parts.n, &parts.e)?;
        let der = AsDer::<Pkcs8V1Der<'static>>::as_der(pair).map_err(|_| KeyError::Generation)?;
        let (_, inner) = der::private_key_info(der.as_ref()).ok_or(KeyError::Generation)?;
        Ok(Self {
            primitive: Some(EncodingKey::from_rsa_der(inner)),
            material: Zeroizing::new(der.as_ref().to_vec()),
            verification: VerificationKey::from_public(algorithm, public)?,
            headers: OnceLock::new(),
        })
    }

    fn from_ec(algorithm: Algorithm, curve: Curve, pair: &EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = PublicKey::ec_point(curve, pair.public_key().as_ref())?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generation)?;
        Ok(Self {
            primitive: Some(EncodingKey::from_ec_der(der.as_ref())),
            material: Zeroizing::new(der.as_ref().to_vec()),
            verification: VerificationKey::from_public(algorithm, public)?,
            headers: OnceLock::new(),
        })
    }

    fn from_ed25519(algorithm: Algorithm, pair: &Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = PublicKey::ed25519(pair.public_key().as_ref())?;
        // Version 1, without the public key: the form that every OpenSSL reads.
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generation)?;
        Ok(Self {
            primitive: Some(EncodingKey::from_ed_der(der.as_ref())),
            material: Zeroizing::new(der.as_ref().to_vec()),
            verification: VerificationKey::from_public(algorithm, public)?,
            headers: OnceLock::new(),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}
