//! Routes to mount in an axum router.

mod logout;

use axum::{Router, routing::post};
use jwt_revoke_core::Guard;

use crate::RevocationLayer;

/// The routes, over tokens in `Authorization: Bearer ..`:
///
/// | route | asks for | answers |
/// | --- | --- | --- |
/// | `POST /logout` | access token | 204: its session is over; 503: it may not be, try again |
///
/// They check their own tokens: mount them *after* the layer, which is a `route_layer` so that
/// unknown paths are answered 404 and not 401.
///
/// ```
/// # use axum::{Router, routing::get};
/// # use tower_jwt_revoke::{AuthUser, RevocationLayer, routes};
/// # async fn me(_: AuthUser) {}
/// # fn example(guard: jwt_revoke_core::Guard) -> Router {
/// Router::new()
///     .route("/me", get(me))
///     .route_layer(RevocationLayer::new(guard.clone()))
///     .nest("/auth", routes(guard))
/// # }
/// ```
pub fn routes<S: Clone + Send + Sync + 'static>(guard: Guard) -> Router<S> {
    routes_behind(RevocationLayer::new(guard))
}

/// The same, behind a layer of your own making: tokens from a cookie, refusals in other words.
///
/// Revocations go to the guard of the layer.
pub fn routes_behind<S: Clone + Send + Sync + 'static>(layer: RevocationLayer) -> Router<S> {
    let guard = layer.guard().clone();
    // At the method: around the path or the router, the layer would answer 401 to other methods
    // (a preflight among them) and to unknown paths.
    Router::new()
        .route("/logout", post(logout::logout).route_layer(layer))
        .with_state(guard)
}
