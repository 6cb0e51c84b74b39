//! The OAuth endpoints, as plain data in and out.
//!
//! [`OAuth`] answers `POST /token` (RFC 6749 §6), `POST /revoke` (RFC 7009), `POST /introspect`
//! (RFC 7662), `GET /jwks.json` (RFC 7517 §5) and the metadata document (RFC 8414). An adapter only
//! carries bytes.

mod authenticate;
mod client;
mod form;
mod introspect;
mod metadata;
mod refused;
mod revoke;
mod token;

use std::fmt;

pub use self::{
    client::{Client, ClientError, Clients},
    form::FormRequest,
    metadata::{Metadata, MetadataError},
};
use crate::{session::Sessions, token::Scope, wire::Reply};

/// The OAuth endpoints over the sessions of one issuer. Cheap to clone.
///
/// How a login comes about is the application's affair: there is no authorization endpoint. What a
/// login handed out is refreshed, revoked and inspected here by any OAuth client library.
///
/// ```
/// # use jwt_revoke_core::{Guard, Issuer, session::{Grant, Sessions}, store::EmbeddedStore};
/// # use jwt_revoke_core::{verify::{Algorithm, SigningKey}, wire::oauth::{FormRequest, OAuth}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let key = SigningKey::generate(Algorithm::EdDSA)?;
/// # let issuer = Issuer::new(key, "https://auth.example.com", "api");
/// # let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
/// let sessions = Sessions::new(&guard, issuer);
/// let oauth = OAuth::new(sessions.clone());
///
/// let attempt = sessions.begin().await?;
/// let pair = sessions.login(attempt, "alice", &Grant::new()).await?;
/// let body = format!("grant_type=refresh_token&refresh_token={}", pair.refresh_token());
/// let reply = oauth.token(&FormRequest::new(body.as_bytes())).await;
/// assert_eq!(reply.status, 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct OAuth {
    sessions: Sessions,
    clients: Clients,
    introspection_scope: Option<Scope>,
    left_out: Vec<Endpoint>,
}

impl OAuth {
    /// All endpoints, for the application itself as the only client. See [`Clients::default`].
    pub fn new(sessions: Sessions) -> Self {
        Self {
            sessions,
            clients: Clients::default(),
            introspection_scope: None,
            left_out: Vec::new(),
        }
    }

    /// Which clients there are.
    pub fn with_clients(mut self, clients: Clients) -> Self {
        self.clients = clients;
        self
    }

    /// Lets whoever holds an access token with this scope introspect tokens, beside the confidential
    /// clients. Grant it to services only: it tells a good token from a bad one. Default: nobody. The
    /// empty scope, which every token has, counts as nobody.
    pub fn with_introspection_scope(mut self, scope: Scope) -> Self {
        self.introspection_scope = Some(scope).filter(|scope| !scope.is_empty());
        self
    }

    /// Leaves an endpoint out.
    pub fn without(mut self, endpoint: Endpoint) -> Self {
        self.left_out.push(endpoint);
        self
    }

    /// The endpoints to be served.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        Endpoint::ALL
            .into_iter()
            .filter(|endpoint| self.serves(*endpoint))
    }

    /// Whose tokens they are.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// `GET /jwks.json`: the public keys, to verify tokens with (RFC 7517 §5). Secrets are not in it:
    /// the set of an issuer that signs with HMAC is empty.
    pub fn jwks(&self) -> Reply {
        Reply::document(self.sessions.issuer().keys().to_jwks())
    }

    /// The answer of an endpoint.
    pub async fn answer(&self, endpoint: Endpoint, request: &FormRequest<'_>) -> Reply {
        match endpoint {
            Endpoint::Token => self.token(request).await,
            Endpoint::Revoke => self.revoke(request).await,
            Endpoint::Introspect => self.introspect(request).await,
            Endpoint::Jwks => self.jwks(),
        }
    }

    fn serves(&self, endpoint: Endpoint) -> bool {
        !self.left_out.contains(&endpoint)
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("sessions", &self.sessions)
            .field("clients", &self.clients)
            .field("introspection_scope", &self.introspection_scope)
            .field("left_out", &self.left_out)
            .finish()
    }
}

/// One of the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /token`.
    Token,
    /// `POST /revoke`.
    Revoke,
    /// `POST /introspect`.
    Introspect,
    /// `GET /jwks.json`.
    Jwks,
}

impl Endpoint {
    const ALL: [Self; 4] = [Self::Token, Self::Revoke, Self::Introspect, Self::Jwks];

    /// Where it is, below the prefix that the application mounts all of them at.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Token => "/token",
            Self::Revoke => "/revoke",
            Self::Introspect => "/introspect",
            Self::Jwks => "/jwks.json",
        }
    }

    /// Its method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Token | Self::Revoke | Self::Introspect => "POST",
            Self::Jwks => "GET",
        }
    }
}
