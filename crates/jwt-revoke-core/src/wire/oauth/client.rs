//! Who may use the endpoints.

use std::{collections::BTreeMap, fmt, sync::Arc};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    defaults,
    token::ClientId,
    verify::{WeakSecret, weakness},
};

/// An OAuth client (RFC 6749 §2.1).
#[derive(Clone)]
pub struct Client {
    id: ClientId,
    /// The SHA-256 of its secret. Secrets are random, so nothing slower is needed.
    secret: Option<[u8; 32]>,
}

impl Client {
    /// A client that cannot keep a secret: an app on its user's device, a page in a browser.
    ///
    /// # Errors
    ///
    /// [`ClientError::Id`].
    pub fn public(id: impl Into<ClientId>) -> Result<Self, ClientError> {
        let id = id.into();
        if !(1..=defaults::MAX_ID_BYTES).contains(&id.as_str().len()) || !is_visible(id.as_str()) {
            return Err(ClientError::Id);
        }
        Ok(Self { id, secret: None })
    }

    /// A client that proves who it is by a secret: random, at least
    /// [`MIN_CLIENT_SECRET_BYTES`](defaults::MIN_CLIENT_SECRET_BYTES) characters. Only its hash is
    /// kept.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for a secret that is short, that others could guess, or that no header could
    /// carry.
    ///
    /// ```
    /// use jwt_revoke_core::wire::oauth::Client;
    ///
    /// assert!(Client::confidential("api", "secret").is_err());
    /// assert!(Client::confidential("api", "change-me-in-production-please!!!").is_err());
    /// ```
    pub fn confidential(id: impl Into<ClientId>, secret: &str) -> Result<Self, ClientError> {
        let client = Self::public(id)?;
        if secret.len() < defaults::MIN_CLIENT_SECRET_BYTES {
            return Err(ClientError::TooShort);
        }
        if !is_visible(secret) {
            return Err(ClientError::Characters);
        }
        if let Some(weakness) = weakness(secret.as_bytes()) {
            return Err(ClientError::Weak(weakness));
        }
        Ok(Self {
            secret: Some(Sha256::digest(secret).into()),
            ..client
        })
    }

    /// Its identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// Whether it proves who it is.
    pub fn is_confidential(&self) -> bool {
        self.secret.is_some()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("confidential", &self.is_confidential())
            .finish_non_exhaustive()
    }
}

/// The clients there are. Cheap to clone.
///
/// ```
/// use jwt_revoke_core::wire::oauth::{Client, Clients};
///
/// // The application itself, a page of another company, and a service that introspects.
/// # fn example(secret: &str) -> Result<Clients, jwt_revoke_core::wire::oauth::ClientError> {
/// let clients = Clients::default()
///     .with(Client::public("partner-page")?)?
///     .with(Client::confidential("api", secret)?)?;
/// # Ok(clients)
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Clients(Arc<BTreeMap<Box<str>, Client>>);

impl Clients {
    /// No client at all.
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// One more client.
    ///
    /// # Errors
    ///
    /// [`ClientError::Twice`] when there is one of that identifier.
    pub fn with(mut self, client: Client) -> Result<Self, ClientError> {
        let clients = Arc::make_mut(&mut self.0);
        if clients.contains_key(client.id.as_str()) {
            return Err(ClientError::Twice(client.id));
        }
        clients.insert(client.id.as_str().into(), client);
        Ok(self)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.values()
    }

    /// The client that presents these credentials, if they are good. Takes the same time for an
    /// unknown client and a wrong secret.
    pub(super) fn verify(&self, id: &str, secret: Option<&str>) -> Option<&Client> {
        let client = self.0.get(id);
        let expected = client.and_then(|client| client.secret);
        let given: [u8; 32] = Sha256::digest(secret.unwrap_or_default()).into();
        let same = bool::from(expected.unwrap_or_default().ct_eq(&given));
        let good = match (expected, secret) {
            (Some(_), Some(_)) => same,
            // A public client has no secret, so whoever sends one is somebody else.
            (None, None) => true,
            _ => false,
        };
        client.filter(|_| good)
    }
}

/// The application itself, a public client called [`CLIENT_ID`](defaults::CLIENT_ID): the one whose
/// name is in the tokens of a login that names no client. A request without any `client_id` comes
/// from it.
impl Default for Clients {
    fn default() -> Self {
        let client = Client {
            id: defaults::CLIENT_ID.into(),
            secret: None,
        };
        Self(Arc::new(BTreeMap::from([(
            defaults::CLIENT_ID.into(),
            client,
        )])))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A client cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The identifier is empty, too long, or has other characters than visible ASCII and spaces
    /// (RFC 6749 appendix A.1).
    #[error("the client id is empty, longer than {limit} bytes, or not visible ascii", limit = defaults::MAX_ID_BYTES)]
    Id,
    /// The secret is shorter than it must be.
    #[error("the client secret has fewer than {limit} characters: make it at random", limit = defaults::MIN_CLIENT_SECRET_BYTES)]
    TooShort,
    /// The secret has other characters than visible ASCII and spaces (RFC 6749 appendix A.2).
    #[error("the client secret has characters that are not visible ascii")]
    Characters,
    /// The secret can be guessed.
    #[error("the client secret is {0}: make it at random")]
    Weak(WeakSecret),
    /// There is a client of that identifier.
    #[error("there are two clients called {}", .0.quoted())]
    Twice(ClientId),
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "tV5nXe8RkZq2_Lw9YbGs4JmPc7HdUo3A";

    fn clients() -> Clients {
        Clients::default()
            .with(Client::confidential("api", SECRET).unwrap())
            .unwrap()
    }

    #[test]
    fn only_the_right_secret_proves_who_a_client_is() {
        let clients = clients();
        let verify = |id, secret| clients.verify(id, secret).map(|client| client.id.as_str());
        assert_eq!(verify("api", Some(SECRET)), Some("api"));
        let longer = format!("{SECRET} ");
        for secret in [
            None,
            Some(""),
            Some("x"),
            Some(&SECRET[1..]),
            Some(&*longer),
        ] {
            assert_eq!(verify("api", secret), None, "{secret:?}");
        }
        assert_eq!(verify(defaults::CLIENT_ID, None), Some(defaults::CLIENT_ID));
        assert_eq!(verify(defaults::CLIENT_ID, Some(SECRET)), None);
        for id in ["", "API", "api ", "unknown"] {
            assert_eq!(verify(id, Some(SECRET)), None);
            assert_eq!(verify(id, None), None);
        }
        assert!(Clients::none().verify(defaults::CLIENT_ID, None).is_none());
    }

    #[test]
    fn t10_a_secret_that_others_could_guess_is_refused() {
        let refused = |secret: &str| Client::confidential("api", secret).err().unwrap();
        assert_eq!(refused(""), ClientError::TooShort);
        assert_eq!(refused(&SECRET[1..]), ClientError::TooShort);
        assert_eq!(refused(&format!("{SECRET}\n")), ClientError::Characters);
        for secret in [
            "your-client-secret-change-me-in-production",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "                                        ",
        ] {
            assert!(matches!(refused(secret), ClientError::Weak(_)), "{secret}");
        }
    }

    #[test]
    fn an_id_that_no_token_could_carry_or_that_is_taken_is_refused() {
        for id in ["", "a\nb", "é", &*"x".repeat(defaults::MAX_ID_BYTES + 1)] {
            assert_eq!(Client::public(id).err(), Some(ClientError::Id));
        }
        let twice = clients().with(Client::public("api").unwrap());
        assert_eq!(twice.err(), Some(ClientError::Twice("api".into())));
    }

    #[test]
    fn debug_hides_secrets_and_their_hashes() {
        let api = Client::confidential("api", SECRET).unwrap();
        assert_eq!(
            format!("{api:?}"),
            "Client { id: \"api\", confidential: true, .. }"
        );
    }
}
