//! What a login grants.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    defaults, quoted,
    revocation::{ClaimName, Digest, Dimension},
    token::{ClaimValue, ClientId, KeyId, Scope, Subject},
};

/// What a login grants beside the identity: client, scope, and the application's own claims.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Grant {
    pub(super) client: Option<ClientId>,
    pub(super) device: Option<Box<str>>,
    pub(super) scope: Scope,
    pub(super) claims: Map<String, Value>,
}

impl Grant {
    /// Nothing beside the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The OAuth client. Without one, tokens say [`CLIENT_ID`](defaults::CLIENT_ID), since RFC 9068
    /// §2.2 asks for a client.
    pub fn with_client(mut self, client: impl Into<ClientId>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// What to call the device in the user's list of sessions: at most
    /// [`MAX_DEVICE_BYTES`](defaults::MAX_DEVICE_BYTES), what cannot be printed dropped: control and format
    /// characters, line and paragraph separators. Joiners stay where emoji and scripts beyond ASCII need
    /// them. Kept by the store, not in tokens.
    pub fn with_device(mut self, label: &str) -> Self {
        let label = quoted::printable(label);
        let mut label = label.trim();
        let mut end = label.len().min(defaults::MAX_DEVICE_BYTES);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        label = label[..end].trim_end();
        self.device = (!label.is_empty()).then(|| label.into());
        self
    }

    /// What the tokens may be used for.
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The application's own claims, at most 1 KiB of JSON.
    ///
    /// # Errors
    ///
    /// [`GrantError`] when they are not an object, too large, or take a name that is ours.
    pub fn with_claims(mut self, claims: &impl Serialize) -> Result<Self, GrantError> {
        let Value::Object(claims) = serde_json::to_value(claims).map_err(GrantError::Serialize)?
        else {
            return Err(GrantError::NotAnObject);
        };
        if let Some(name) = claims.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(GrantError::Reserved(name.clone()));
        }
        if let Some(name) = private_name(&claims) {
            return Err(GrantError::PrivateName(name.to_owned()));
        }
        let size = serde_json::to_vec(&claims)
            .map_err(GrantError::Serialize)?
            .len();
        if size > defaults::MAX_OWN_CLAIMS_BYTES {
            return Err(GrantError::TooLarge { size });
        }
        self.claims = claims;
        Ok(self)
    }
}

impl Grant {
    /// The client as tokens say it.
    pub(super) fn client_or_default(&self) -> ClientId {
        self.client
            .clone()
            .unwrap_or_else(|| defaults::CLIENT_ID.into())
    }

    /// Every value in a dimension that could cover a session of `subject` under this grant, beside
    /// its digest. `None` if a claim that is a dimension has a shape which verifiers refuse.
    pub(super) fn coverable(
        &self,
        issuer: &str,
        subject: &Subject,
        key: &KeyId,
        claim_dimensions: &[ClaimName],
    ) -> Option<(Vec<Dimension>, Vec<Digest>)> {
        let mut values = vec![
            (Dimension::Subject, subject.as_str().to_owned()),
            (Dimension::OtherSessions, subject.as_str().to_owned()),
            (
                Dimension::Client,
                self.client_or_default().as_str().to_owned(),
            ),
            (Dimension::Issuer, issuer.to_owned()),
            (Dimension::Key, key.as_str().to_owned()),
        ];
        values.extend(claim_values(&self.claims, claim_dimensions)?);
        let digests = values.into_iter().map(|(dimension, value)| {
            let digest = Digest::of(&dimension, issuer, value.as_bytes());
            (dimension, digest)
        });
        Some(digests.unzip())
    }
}

/// The values of those of `claims` that are dimensions; `None` if one has a shape that verifiers
/// refuse.
pub(super) fn claim_values(
    claims: &Map<String, Value>,
    dimensions: &[ClaimName],
) -> Option<Vec<(Dimension, String)>> {
    let mut values = Vec::new();
    for name in dimensions {
        let Some(claim) = claims.get(name.as_str()) else {
            continue;
        };
        let found = ClaimValue::all_of(claim)?;
        let texts = found.iter().flat_map(ClaimValue::findable);
        values.extend(texts.map(|text| (Dimension::Claim(name.clone()), text)));
    }
    Some(values)
}

/// The first name that serde_json gives a meaning of its own, at any depth. Claims with one would
/// come back changed when a refresh reads them from the token: a text would become an object.
fn private_name(claims: &Map<String, Value>) -> Option<&str> {
    fn inside(value: &Value) -> Option<&str> {
        match value {
            Value::Object(members) => private_name(members),
            Value::Array(elements) => elements.iter().find_map(inside),
            _ => None,
        }
    }

    claims.iter().find_map(|(name, value)| {
        let is_private = name.starts_with("$serde_json::private::");
        is_private
            .then_some(name.as_str())
            .or_else(|| inside(value))
    })
}

/// The application's claims cannot be granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// They do not serialize to a JSON object.
    #[error("the claims are not a json object")]
    NotAnObject,
    /// They do not serialize.
    #[error("the claims do not serialize")]
    Serialize(#[source] serde_json::Error),
    /// A name is one of the registered claims.
    #[error("the claim {0:?} is set by the issuer")]
    Reserved(String),
    /// The name of a member, at any depth, is one that serde_json reads as something else.
    #[error("the claims have the member {0:?}, a private name of serde_json: leave it out")]
    PrivateName(String),
    /// More than [`MAX_OWN_CLAIMS_BYTES`](defaults::MAX_OWN_CLAIMS_BYTES) of JSON.
    #[error("the claims take {size} bytes, more than the {limit} allowed", limit = defaults::MAX_OWN_CLAIMS_BYTES)]
    TooLarge {
        /// How many they take.
        size: usize,
    },
}

/// Claims that the issuer sets, or that would change what a token means.
const RESERVED: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "client_id",
    "azp",
    "scope",
    "gen",
    "ext",
];
