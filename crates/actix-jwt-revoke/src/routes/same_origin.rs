//! Extractor for logins by cookie.

use std::future::{Ready, ready};

use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, error::InternalError, web::Data};
use jwt_revoke_core::wire::Refusal;

use super::Routes;
use crate::{AuthRejection, response::response};

/// Proof that no page of another origin caused the request: for a login that answers cookies.
///
/// Such a page could otherwise log its visitors in as a user of its own choice, and read what they
/// then enter ("login CSRF"). The handler runs only where
/// [`Companion::require_same_origin`](jwt_revoke_core::wire::Companion::require_same_origin) agrees.
/// Without [cookies](Routes::with_cookies) it always runs. The [`Routes`] come from the application's
/// data: `app_data(Data::new(routes.clone()))`.
///
/// Routes behind a layer that takes the token from a cookie need no such extractor: the layer asks.
///
/// # Rejections
///
/// [`Rejection::Denied`](jwt_revoke_core::wire::Rejection::Denied), 403 `access_denied`. 500 where the
/// application's data has no [`Routes`].
///
/// ```
/// use actix_jwt_revoke::{Routes, SameOrigin};
/// use actix_web::web::Data;
///
/// async fn login(_: SameOrigin, routes: Data<Routes>, body: String) {
///     // Check the password, open the session, answer with `routes.signed_in(&pair)`.
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SameOrigin;

impl FromRequest for SameOrigin {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match request.app_data::<Data<Routes>>() {
            Some(routes) => match routes.require_same_origin(request) {
                Ok(()) => Ok(Self),
                Err(rejection) => Err(AuthRejection(rejection).into()),
            },
            None => {
                let reason = "SameOrigin found no Routes: add app_data(Data::new(routes.clone())) to the app";
                Err(InternalError::from_response(reason, response(Refusal::server_error())).into())
            }
        })
    }
}
