//! OAuth for clients that know nothing of this project.

use jwt_revoke_core::{
    session::Sessions,
    wire::oauth::{Client, ClientError, Clients, Metadata, MetadataError, OAuth},
};

use crate::Settings;

/// The OAuth endpoints and the document that leads to them cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The confidential client cannot be registered.
    #[error("JWT_REVOKE_CLIENT_SECRET cannot serve")]
    Client(#[from] ClientError),
    /// The issuer is no address.
    #[error("JWT_REVOKE_ISSUER cannot serve")]
    Metadata(#[from] MetadataError),
}

/// The endpoints, to be mounted at `/auth`, and the document that leads to them.
///
/// The table of clients has two: the application itself, which is public and whose name is in the
/// tokens of every login, and `api`, a service that keeps a secret and may introspect. A real
/// program has a database here.
///
/// # Errors
///
/// [`OAuthError`] names the variable that cannot serve.
pub fn oauth(sessions: &Sessions, settings: &Settings) -> Result<(OAuth, Metadata), OAuthError> {
    let api = Client::confidential("api", &settings.client_secret)?;
    let clients = Clients::default().with(api)?;
    let oauth = OAuth::new(sessions.clone()).with_clients(clients);
    let metadata = oauth.metadata("/auth")?;
    Ok((oauth, metadata))
}
