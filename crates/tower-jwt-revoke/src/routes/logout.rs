//! `POST /logout` for services that only check tokens.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header};
use jwt_revoke_core::{
    Denied, Guard, Report,
    guard::{RevokeError, Target},
    wire::Refusal,
};

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
        .route("/logout", post(logout).route_layer(layer))
        .with_state(guard)
}

/// Ends the session of the token at hand, or revokes the token alone when it has no session.
///
/// Says 204 only when the store has confirmed it: whoever was told that the session is over does not
/// look again.
async fn logout(State(guard): State<Guard>, user: AuthUser) -> Response {
    let target = Target::logout(&user.access).because("logout");
    match guard.revoke(target).await {
        Ok(_) => {
            let no_store = HeaderValue::from_static("no-store");
            (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, no_store)]).into_response()
        }
        Err(RevokeError::Store(error)) => {
            user.deny(Denied::StoreUnavailable(error)).into_response()
        }
        // The token has nothing to revoke it by, which the verifier was told to allow.
        Err(error) => {
            tracing::error!(error = %Report(&error), "a logout did not happen");
            response(Refusal::server_error()).map(Into::into)
        }
    }
}
