//! Several keys: those of an issuer, and the old beside the new while keys are rotated.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    defaults,
    token::KeyId,
    verify::{Algorithm, KeyError, KeySetError, RefusedKey, VerificationKey, key::jwk},
};

/// The keys that a verifier accepts, at most [`MAX_KEYS`](defaults::MAX_KEYS), each with an id of
/// its own; either all public or all symmetric.
///
/// A token with a `kid` is checked with the key of that id and no other. A token without one is
/// tried against the keys for its `alg`, in their order, at most
/// [`MAX_KEYS_TRIED`](defaults::MAX_KEYS_TRIED) of them.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

impl KeySet {
    /// A set of these keys.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), of the first key that does not fit.
    pub fn new(keys: impl IntoIterator<Item = VerificationKey>) -> Result<Self, KeyError> {
        let mut set = Self::default();
        for key in keys {
            set.insert(key)?;
        }
        Ok(set)
    }

    /// Whether both are the same public keys in the same order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.keys.iter().zip(&other.keys);
        self.keys.len() == other.keys.len() && pairs.all(|(own, other)| own.is_same(other))
    }

    /// Reads a JWK set (RFC 7517 §5). Each key is judged by itself: a bad one is left out with its
    /// reason, and the good ones serve. How a key without `alg` is taken is told at
    /// [`VerificationKey::from_jwk`]. Of keys with one `kid` the first serves. When any key is not
    /// symmetric, those that are are left out: whoever can read them can sign.
    ///
    /// # Errors
    ///
    /// [`KeySetError`] when there is no set, or no key of it can be used.
    ///
    /// ```
    /// use jwt_revoke_core::verify::KeySet;
    ///
    /// let (keys, refused) = KeySet::from_jwks(r#"{"keys": [
    ///     {"kty": "OKP", "crv": "Ed25519", "kid": "new", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ///     {"kty": "RSA", "use": "enc", "kid": "other", "n": "AQAB", "e": "AQAB"}
    /// ]}"#)?;
    /// assert_eq!(keys.ids().map(|id| id.as_str()).collect::<Vec<_>>(), ["new"]);
    /// assert_eq!(refused[0].to_string(),
    ///     "key 1 of the set (other): the key is not meant for verifying signatures (\"use\" says so)");
    /// # Ok::<_, jwt_revoke_core::verify::KeySetError>(())
    /// ```
    pub fn from_jwks(json: impl AsRef<[u8]>) -> Result<(Self, Vec<RefusedKey>), KeySetError> {
        Self::read(json.as_ref(), None)
    }

    /// The same, for these algorithms and no others: for an issuer that publishes its keys without
    /// `alg` and signs with another algorithm than `RS256`.
    ///
    /// A key with an `alg` that is not among them is left out. A key without one is pinned to the
    /// first of them that takes a key of its type; a key never serves two.
    ///
    /// # Errors
    ///
    /// As [`from_jwks`](Self::from_jwks).
    ///
    /// ```
    /// use jwt_revoke_core::verify::{Algorithm, KeySet, SigningKey};
    ///
    /// let key = SigningKey::generate(Algorithm::PS256)?.verification_key();
    /// let jwk = key.to_jwk().unwrap().replace(r#""alg":"PS256","#, "");
    /// let jwks = format!(r#"{{"keys": [{jwk}]}}"#);
    ///
    /// let (keys, _) = KeySet::from_jwks_for(&jwks, &[Algorithm::PS256, Algorithm::ES256])?;
    /// assert_eq!(keys.algorithms(), [Algorithm::PS256]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_jwks_for(
        json: impl AsRef<[u8]>,
        algorithms: &[Algorithm],
    ) -> Result<(Self, Vec<RefusedKey>), KeySetError> {
        Self::read(json.as_ref(), Some(algorithms))
    }

    fn read(
        json: &[u8],
        wanted: Option<&[Algorithm]>,
    ) -> Result<(Self, Vec<RefusedKey>), KeySetError> {
        #[derive(Deserialize)]
        struct Jwks<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }

        if json.len() > defaults::MAX_JWKS_BYTES {
            return Err(KeySetError::TooLong);
        }
        let jwks: Jwks<'_> = std::str::from_utf8(json)
            .ok()
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or(KeySetError::Malformed)?;
        let peeks: Vec<_> = jwks.keys.iter().map(|key| jwk::peek(key.get())).collect();
        let is_symmetric = |kty: &Option<String>| kty.as_deref() == Some("oct");
        let mixed = peeks.iter().any(|(_, kty)| !is_symmetric(kty));
        let mut set = Self::default();
        let mut refused = Vec::new();
        for (index, (key, (kid, kty))) in jwks.keys.iter().zip(peeks).enumerate() {
            let judged = if mixed && is_symmetric(&kty) {
                Err(KeyError::Mixed)
            } else {
                jwk::read(key.get(), wanted).and_then(|key| set.insert(key))
            };
            if let Err(reason) = judged {
                refused.push(RefusedKey {
                    index,
                    id: kid
                        .filter(|kid| kid.len() <= defaults::MAX_ID_BYTES)
                        .map(KeyId::from),
                    reason,
                });
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoUsableKey(refused));
        }
        Ok((set, refused))
    }

    /// Adds a key.
    ///
    /// # Errors
    ///
    /// [`KeyError::DuplicateKeyId`], [`KeyError::Mixed`] for a secret among public keys or the
    /// other way round, [`KeyError::TooMany`]. The set is as it was.
    pub fn insert(&mut self, key: VerificationKey) -> Result<(), KeyError> {
        if self.keys.len() >= defaults::MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        if self.get(key.id().as_str()).is_some() {
            return Err(KeyError::DuplicateKeyId(key.id().clone()));
        }
        let symmetric = key.algorithm().is_symmetric();
        if self
            .keys
            .iter()
            .any(|other| other.algorithm().is_symmetric() != symmetric)
        {
            return Err(KeyError::Mixed);
        }
        self.keys.push(key);
        Ok(())
    }

    /// The keys in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &VerificationKey> {
        self.keys.iter()
    }

    /// The ids of the keys, in their order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &KeyId> {
        self.keys.iter().map(VerificationKey::id)
    }

    /// The algorithms in use, each once.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut algorithms: Vec<_> = self.keys.iter().map(VerificationKey::algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        algorithms
    }

    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&VerificationKey> {
        self.keys.iter().find(|key| key.id().as_str() == id)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key, so that every token is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The public keys as a JWK set (RFC 7517 §5), to be published. Secrets are not in it.
    pub fn to_jwks(&self) -> String {
        #[derive(Serialize)]
        struct Jwks<'a> {
            keys: Vec<&'a VerificationKey>,
        }

        let public = |key: &&VerificationKey| !key.algorithm().is_symmetric();
        let jwks = Jwks {
            keys: self.keys.iter().filter(public).collect(),
        };
        // Texts only, so this cannot fail; an empty set is the harmless answer.
        serde_json::to_string(&jwks).unwrap_or_else(|_| "{\"keys\":[]}".to_owned())
    }
}

impl From<VerificationKey> for KeySet {
    fn from(key: VerificationKey) -> Self {
        Self { keys: vec![key] }
    }
}
