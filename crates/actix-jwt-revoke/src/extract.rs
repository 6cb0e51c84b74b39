//! Extractors.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError, dev::Payload,
    http::StatusCode,
};
use jwt_revoke_core::{
    Access,
    guard::NoClaims,
    wire::{Caller, Rejection, User},
};
use serde::de::DeserializeOwned;

use crate::response::response;

/// The user whose token was checked, and the application's claims in it.
///
/// It dereferences to the [`User`] in it, and that to the [`Access`]: `user.claims`,
/// `user.subject()`.
///
/// Do not ask for `Option<AuthUser>`: actix-web makes `None` of every error, so a user whose claims do
/// not fit, or a route without a layer, would look like nobody. [`MaybeAuthUser`] does it right.
///
/// # Rejections
///
/// [`Rejection::MissingAccess`] (500) without a layer. [`Rejection::Denied`] when the claims do not
/// fit `C` (401 `invalid_token`; the log tells the place, not the value), or when an optional layer
/// let a request without a token through to a handler that needs one (401).
///
/// ```
/// use actix_jwt_revoke::AuthUser;
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
/// use actix_jwt_revoke::{AuthRejection, AuthUser};
/// use jwt_revoke_core::token::Scope;
///
/// async fn delete(user: AuthUser) -> Result<&'static str, AuthRejection> {
///     user.require_scope(&Scope::parse("delete").unwrap())?;
///     Ok("deleted")
/// }
/// ```
pub struct AuthUser<C = NoClaims>(pub User<C>);

impl<C: DeserializeOwned + Send + Sync + 'static> FromRequest for AuthUser<C> {
    type Error = AuthRejection;
    type Future = Ready<Result<Self, AuthRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user = caller(request).user();
        ready(user.map(Self).map_err(AuthRejection))
    }
}

jwt_revoke_core::user_traits!(AuthUser);

/// The user, or `None` for a request without a token, which only an
/// [`optional`](crate::RevocationLayer::optional) layer lets through; a bad token never gets here.
///
/// The rejections are those of [`AuthUser`], for a request without a token excepted.
///
/// ```
/// use actix_jwt_revoke::MaybeAuthUser;
///
/// async fn front_page(MaybeAuthUser(user): MaybeAuthUser) -> String {
///     match user {
///         Some(user) => format!("hello {:?}", user.subject()),
///         None => "hello".to_owned(),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct MaybeAuthUser<C = NoClaims>(pub Option<AuthUser<C>>);

impl<C: DeserializeOwned + Send + Sync + 'static> FromRequest for MaybeAuthUser<C> {
    type Error = AuthRejection;
    type Future = Ready<Result<Self, AuthRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user = caller(request).optional();
        let user = user.and_then(|caller| caller.map(Caller::user).transpose());
        ready(match user {
            Ok(user) => Ok(Self(user.map(AuthUser))),
            Err(rejection) => Err(rejection.into()),
        })
    }
}

impl<C> Clone for MaybeAuthUser<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The bare proof that a token was checked, with the rejections of [`AuthUser`]: for what a guard
/// wants to be given, such as [`Target::logout`](jwt_revoke_core::guard::Target::logout).
#[derive(Clone, Debug)]
pub struct Token(pub Access);

impl FromRequest for Token {
    type Error = AuthRejection;
    type Future = Ready<Result<Self, AuthRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = caller(request).access();
        ready(access.map(Self).map_err(AuthRejection))
    }
}

/// Why there is no [`AuthUser`], as a response.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AuthRejection(#[from] pub Rejection);

impl ResponseError for AuthRejection {
    fn status_code(&self) -> StatusCode {
        self.error_response().status()
    }

    fn error_response(&self) -> HttpResponse {
        response(self.0.refusal())
    }
}

/// What the layers outside of here have found out.
pub(crate) fn caller(request: &HttpRequest) -> Caller {
    let extensions = request.extensions();
    Caller::of(extensions.get(), extensions.get())
}
