//! Extractor for logins by cookie.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use super::Routes;
use crate::AuthRejection;

/// Proof that no page of another origin caused the request: for a login that answers cookies.
///
/// Such a page could otherwise log its visitors in as a user of its own choice, and read what they
/// then enter ("login CSRF"). The handler runs only where
/// [`Companion::require_same_origin`](jwt_revoke_core::wire::Companion::require_same_origin) agrees.
/// Without [cookies](Routes::with_cookies) it always runs. The [`Routes`] come from the router's state.
///
/// Routes behind a layer that takes the token from a cookie need no such extractor: the layer asks.
///
/// # Rejections
///
/// [`Rejection::Denied`](jwt_revoke_core::wire::Rejection::Denied), 403 `access_denied`.
///
/// ```
/// use axum::extract::State;
/// use tower_jwt_revoke::{Routes, SameOrigin};
///
/// async fn login(_: SameOrigin, State(routes): State<Routes>, body: String) {
///     // Check the password, open the session, answer with `routes.signed_in(&pair)`.
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SameOrigin;

impl<S> FromRequestParts<S> for SameOrigin
where
    S: Sync,
    Routes: FromRef<S>,
{
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthRejection> {
        Routes::from_ref(state).require_same_origin(parts)?;
        Ok(Self)
    }
}
