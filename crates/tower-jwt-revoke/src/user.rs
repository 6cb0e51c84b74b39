//! The user, and why there is none: types of our own, for which frameworks' traits can be implemented.

use jwt_revoke_core::{
    guard::NoClaims,
    wire::{Rejection, User},
};

/// The user whose token was checked, and the application's claims in it.
///
/// `Option<AuthUser>` is `None` for a request without a token, which only an
/// [`optional`](crate::RevocationLayer::optional) layer lets through; a bad token never gets here.
/// Handlers of gRPC services get it from `AccessExt::user`.
///
/// It dereferences to the [`User`] in it, and that to the [`Access`](jwt_revoke_core::Access):
/// `user.claims`, `user.subject()`.
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

jwt_revoke_core::user_traits!(AuthUser);

/// Why there is no [`AuthUser`], as a response.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AuthRejection(#[from] pub Rejection);
