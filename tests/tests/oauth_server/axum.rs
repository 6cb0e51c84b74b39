//! The routes that the suite of the OAuth routes asks for, by axum.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{future::IntoFuture as _, net::TcpListener};

use axum::{Router, routing::get};
use jwt_revoke_tests::oauth_suite::Fixture;
use tokio::task::JoinHandle;
use tower_jwt_revoke::{AuthUser, RevocationLayer, oauth_routes, well_known};

/// Serves until the runtime ends.
pub(crate) async fn serve(
    listener: TcpListener,
    fixture: Fixture,
) -> JoinHandle<std::io::Result<()>> {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(axum::serve(listener, app(fixture)).into_future())
}

fn app(fixture: Fixture) -> Router {
    Router::new()
        .route("/me", get(me))
        .route_layer(RevocationLayer::new(fixture.guard))
        .merge(well_known(fixture.oauth.metadata("/auth").unwrap()))
        .nest("/auth", oauth_routes(fixture.oauth))
        .nest("/strict", oauth_routes(fixture.strict))
}

async fn me(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}
