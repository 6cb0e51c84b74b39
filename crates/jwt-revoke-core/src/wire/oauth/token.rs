//! `POST /token` (RFC 6749 §6).

use super::{
    OAuth, Reply,
    form::{Form, FormRequest},
    refused::{Refused, settle},
};
use crate::{
    session::{RefreshError, Wanted},
    token::Scope,
};

impl OAuth {
    /// `POST /token` with `grant_type=refresh_token` (RFC 6749 §6): exchanges a refresh token for the
    /// next pair.
    ///
    /// A `scope` may ask for less than was granted; the access token then has just that, and the
    /// refresh token keeps all of it. One that asks for more is `invalid_scope`, and the refresh
    /// token still works. So it does after 503, which carries `Retry-After`. All other refusals of a
    /// refresh token are `invalid_grant`, in the same words.
    pub async fn token(&self, request: &FormRequest<'_>) -> Reply {
        settle(self.try_token(request).await)
    }

    async fn try_token(&self, request: &FormRequest<'_>) -> Result<Reply, Refused> {
        let form = Form::read(request)?;
        let client = self.authenticate(request, &form)?;
        match form.get("grant_type") {
            Some("refresh_token") => {}
            Some(_) => return Err(Refused::UnsupportedGrantType),
            None => return Err(Refused::InvalidRequest("the grant_type is missing")),
        }
        let token = form
            .get("refresh_token")
            .ok_or(Refused::InvalidRequest("the refresh_token is missing"))?;
        // Also a scope that is none goes along: a stolen token must be noticed whatever comes with it.
        let wanted = match form.get("scope").map(Scope::parse) {
            None => Wanted::All,
            Some(Some(scope)) => Wanted::Scope(scope),
            Some(None) => Wanted::Nonsense,
        };
        let presenter = Some(client.id().clone());
        let refreshed = self.sessions.refresh_wanting(token, presenter, wanted);
        match refreshed.await {
            Ok(pair) => Ok(Reply::tokens(&pair)),
            Err(RefreshError::Scope) => Err(Refused::InvalidScope),
            Err(error) if error.is_temporary() => Err(Refused::unavailable(&error)),
            Err(error) => {
                tracing::debug!(reason = %crate::Report(&error).quoted(), "a refresh token was refused");
                Err(Refused::InvalidGrant)
            }
        }
    }
}
