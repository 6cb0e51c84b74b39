//! `POST /logout` for services that only check tokens.

use actix_web::{Resource, web};
use jwt_revoke_core::Guard;

use super::resource;
use crate::{AuthUser, RevocationLayer, response::response};

/// `POST /logout` for a service without [`Sessions`](jwt_revoke_core::session::Sessions), such as
/// one behind another issuer: the access token's session, or the token alone where it has none, is
/// revoked. 204 says that it is; 503 that it may not be, try again.
///
/// It checks its own token.
///
/// ```
/// # use actix_jwt_revoke::{AuthUser, RevocationLayer, logout_route};
/// # use actix_web::{App, web};
/// # async fn me(_: AuthUser) -> &'static str { "" }
/// # fn example(guard: jwt_revoke_core::Guard) {
/// let layer = RevocationLayer::new(guard.clone());
/// let app = App::new()
///     .service(web::resource("/me").route(web::get().to(me)).wrap(layer))
///     .service(web::scope("/auth").service(logout_route(guard)));
/// # }
/// ```
pub fn logout_route(guard: Guard) -> Resource {
    logout_route_behind(RevocationLayer::new(guard))
}

/// The same, behind a layer of your own making: tokens from a cookie, refusals in other words.
///
/// Revocations go to the guard of the layer.
pub fn logout_route_behind(layer: RevocationLayer) -> Resource {
    let guard = layer.guard().clone();
    let logout = move |user: AuthUser| {
        let guard = guard.clone();
        async move { response(user.logout(&guard).await) }
    };
    resource("/logout", "POST", web::to(logout).wrap(layer))
}
