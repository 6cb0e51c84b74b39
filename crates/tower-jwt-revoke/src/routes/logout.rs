//! `POST /logout` for services that only check tokens.

use axum::{Router, extract::State, response::Response, routing::post};
use jwt_revoke_core::Guard;

use super::task::OwnTask;
use crate::{AuthUser, RevocationLayer, response::response};

/// `POST /logout` for a service without [`Sessions`](jwt_revoke_core::session::Sessions), such as
/// one behind another issuer: the access token's session, or the token alone where it has none, is
/// revoked. 204 says that it is; 503 that it may not be, try again.
///
/// It checks its own token: mount it *after* the layer, which is a `route_layer` so that unknown
/// paths are answered 404 and not 401.
///
/// ```
/// # use axum::{Router, routing::get};
/// # use tower_jwt_revoke::{AuthUser, RevocationLayer, logout_route};
/// # async fn me(_: AuthUser) {}
/// # fn example(guard: jwt_revoke_core::Guard) -> Router {
/// Router::new()
///     .route("/me", get(me))
///     .route_layer(RevocationLayer::new(guard.clone()))
///     .nest("/auth", logout_route(guard))
/// # }
/// ```
pub fn logout_route<S: Clone + Send + Sync + 'static>(guard: Guard) -> Router<S> {
    logout_route_behind(RevocationLayer::new(guard))
}

/// The same, behind a layer of your own making: tokens from a cookie, refusals in other words.
///
/// Revocations go to the guard of the layer.
pub fn logout_route_behind<S: Clone + Send + Sync + 'static>(layer: RevocationLayer) -> Router<S> {
    let guard = layer.guard().clone();
    // At the method: around the path or the router, the layer would answer 401 to other methods
    // (a preflight among them) and to unknown paths.
    Router::new()
        .route(
            "/logout",
            post(logout).route_layer(layer).route_layer(OwnTask),
        )
        .with_state(guard)
}

async fn logout(State(guard): State<Guard>, user: AuthUser) -> Response {
    response(user.logout(&guard).await).map(Into::into)
}
