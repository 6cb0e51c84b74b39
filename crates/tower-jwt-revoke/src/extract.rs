//! Extractors.

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use jwt_revoke_core::{
    Access,
    guard::NoClaims,
    wire::{Caller, Rejection, User},
};
use serde::de::DeserializeOwned;

use crate::{response::response, scope::caller};

/// The user whose token was checked, and the application's claims in it.
///
/// `Option<AuthUser>` is `None` for a request without a token, which only an
/// [`optional`](crate::RevocationLayer::optional) layer lets through; a bad token never gets here.
///
/// It dereferences to the [`User`] in it, and that to the [`Access`]: `user.claims`,
/// `user.subject()`.
///
/// # Rejections
///
/// [`Rejection::MissingAccess`] (500) without a layer, for `Option<AuthUser>` too.
/// [`Rejection::Denied`] when the claims do not fit `C` (401 `invalid_token`; the log tells the
/// place, not the value), or when an optional layer let a request without a token through to a
/// handler that needs one (401).
///
/// ```
/// use tower_jwt_revoke::AuthUser;
///
/// #[derive(serde::Deserialize)]
/// struct Claims {
///     tenant: String,
/// }
///
/// async fn me(user: AuthUser<Claims>) -> String {
///     let name = user.subject().map_or("nobody", |subject| subject.as_str());
///     format!("{name} of {}", user.claims.tenant)
/// }
/// ```
///
/// A handler that asks for a scope itself (for a whole route there is
/// [`RequireScopeLayer`](crate::RequireScopeLayer)):
///
/// ```
/// use jwt_revoke_core::token::Scope;
/// use tower_jwt_revoke::{AuthRejection, AuthUser};
///
/// async fn delete(user: AuthUser) -> Result<(), AuthRejection> {
///     user.require_scope(&Scope::parse("delete").unwrap())?;
///     Ok(())
/// }
/// ```
pub struct AuthUser<C = NoClaims>(pub User<C>);

impl<S, C> FromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        Ok(Self(caller(&parts.extensions).user()?))
    }
}

impl<S, C> OptionalFromRequestParts<S> for AuthUser<C>
where
    S: Sync,
    C: DeserializeOwned + Send + Sync + 'static,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let caller = caller(&parts.extensions).optional()?;
        let user = caller.map(Caller::user).transpose()?;
        Ok(user.map(Self))
    }
}

jwt_revoke_core::user_traits!(AuthUser);

/// The bare proof that a token was checked, with the rejections of [`AuthUser`]: for what a guard
/// wants to be given, such as [`Target::logout`](jwt_revoke_core::guard::Target::logout).
#[derive(Clone, Debug)]
pub struct Token(pub Access);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        Ok(Self(caller(&parts.extensions).access()?))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        let caller = caller(&parts.extensions).optional()?;
        let access = caller.map(Caller::access).transpose()?;
        Ok(access.map(Self))
    }
}

/// Why there is no [`AuthUser`], as a response.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AuthRejection(#[from] pub Rejection);

impl IntoResponse for AuthRejection {
    fn into_response(self) -> Response {
        response(self.0.refusal()).map(Body::from)
    }
}
