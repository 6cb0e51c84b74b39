//! The routes that the suite of sessions asks for, by axum.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::future::IntoFuture as _;

use axum::{
    Router,
    extract::{FromRef, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use futures::future::{BoxFuture, FutureExt as _};
use jwt_revoke_core::{
    session::{Grant, LoginError},
    wire::{Cookies, Route},
};
use jwt_revoke_tests::http_suite::{Running, sessions::SessionFixture};
use tower_jwt_revoke::{AuthUser, RevocationLayer, Routes, SameOrigin};

/// Serves on a free port.
pub(crate) fn serve(fixture: SessionFixture) -> BoxFuture<'static, Running> {
    async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum::serve(listener, app(fixture)).into_future();
        let stop = Box::new(tokio::spawn(server));
        Running { address, stop }
    }
    .boxed()
}

fn app(fixture: SessionFixture) -> Router {
    let sessions = &fixture.sessions;
    let layer = || RevocationLayer::new(sessions.guard().clone());
    let cookies = Cookies::under("/cookies/auth").unwrap();
    let cookies = cookies.with_origin("https://app.example.com".parse().unwrap());
    let from_cookie = layer().from_header().from_cookies(&cookies);
    let with_cookies = Routes::new(sessions).with_cookies(cookies);
    let with_cookies = with_cookies.with_password_change(fixture.password_change());
    let own = Routes::new(sessions).with_password_change(fixture.password_change());
    let plain = Routes::new(sessions);
    Router::new()
        .route("/me", get(me).route_layer(layer()))
        .route("/cookies/me", get(me).post(me).route_layer(from_cookie))
        .nest("/auth", own.into_router())
        .nest("/cookies/auth", with_cookies.clone().into_router())
        .nest(
            "/some/auth",
            plain.clone().without(Route::LogoutAll).into_router(),
        )
        .route("/login", login_by(fixture.clone(), plain))
        .route("/cookies/login", login_by(fixture, with_cookies))
}

fn login_by(fixture: SessionFixture, routes: Routes) -> MethodRouter {
    post(login).with_state(Login { fixture, routes })
}

#[derive(Clone)]
struct Login {
    fixture: SessionFixture,
    routes: Routes,
}

impl FromRef<Login> for Routes {
    fn from_ref(login: &Login) -> Self {
        login.routes.clone()
    }
}

async fn me(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

async fn login(
    _: SameOrigin,
    State(Login { fixture, routes }): State<Login>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let user = body["username"].as_str().unwrap();
    let Ok(attempt) = fixture.sessions.begin().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    fixture.begun.add_permits(1);
    drop(fixture.password_checks.acquire().await);
    let device = headers.get(header::USER_AGENT);
    let device = device.and_then(|agent| agent.to_str().ok());
    let scope = body["scope"].as_str().unwrap_or_default();
    let grant = Grant::new()
        .with_device(device.unwrap_or_default())
        .with_scope(scope.parse().unwrap());
    match routes.sessions().login(attempt, user, &grant).await {
        Ok(pair) => routes.signed_in(&pair),
        Err(LoginError::Stale | LoginError::TooManySessions) => {
            StatusCode::CONFLICT.into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
