//! The routes.

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use example_shared::{Users, malformed};
use jwt_revoke_core::{
    Report,
    session::{Grant, LoginError, Sessions},
    wire::oauth::{Metadata, OAuth},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_jwt_revoke::{AuthUser, RevocationLayer, Routes, oauth_routes, well_known};

use crate::socket::talks;

#[derive(Clone)]
struct App {
    routes: Routes,
    users: Users,
}

impl App {
    fn sessions(&self) -> &Sessions {
        self.routes.sessions()
    }
}

/// All routes: login, a protected one, refresh, logout and sessions, those of OAuth.
pub fn app(sessions: &Sessions, users: Users, (oauth, metadata): (OAuth, Metadata)) -> Router {
    let routes = Routes::new(sessions);
    let companion = routes.clone().into_router().merge(oauth_routes(oauth));
    let protected = Router::new()
        .route("/me", get(me))
        .route("/ws", get(talks))
        .route_layer(RevocationLayer::new(sessions.guard().clone()));
    Router::new()
        .merge(protected)
        .route("/public", get(public))
        .route("/login", post(login))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        // The companion routes check their own tokens, so they are not behind the layer.
        .nest("/auth", companion)
        .merge(well_known(metadata))
        .with_state(App { routes, users })
}

async fn public() -> Json<Value> {
    Json(json!({ "hello": "world" }))
}

/// The handler runs only with a token that is genuine and not revoked.
async fn me(user: AuthUser) -> Json<Value> {
    let access = &user.access;
    Json(json!({
        "sub": access.subject(),
        "sid": access.session(),
        "jti": access.jti(),
        "exp": access.expires_at().whole_seconds(),
    }))
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Making sure who it is stays the application's; "this is Alice" becomes a session here.
async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Response {
    let Json(Credentials { username, password }) = match credentials {
        Ok(credentials) => credentials,
        Err(rejection) => return not_credentials(&rejection),
    };
    // Before the password is checked: if it is changed meanwhile, this login is refused.
    let attempt = match app.sessions().begin().await {
        Ok(attempt) => attempt,
        Err(error) => return failed(&error.into()),
    };
    if !app.users.check(username.clone(), password).await {
        let body =
            json!({ "error": "invalid_grant", "error_description": "wrong name or password" });
        return answer(StatusCode::UNAUTHORIZED, body);
    }
    let device = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let grant = Grant::new().with_device(device.unwrap_or_default());
    match app.sessions().login(attempt, username, &grant).await {
        Ok(pair) => app.routes.signed_in(&pair),
        Err(error) => failed(&error),
    }
}

fn not_credentials(rejection: &JsonRejection) -> Response {
    let (status, description) = malformed(rejection.status().as_u16());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = json!({ "error": "invalid_request", "error_description": description });
    answer(status, body)
}

fn failed(error: &LoginError) -> Response {
    if matches!(error, LoginError::Stale) {
        let body = json!({ "error": "invalid_grant", "error_description": "log in again" });
        return answer(StatusCode::UNAUTHORIZED, body);
    }
    // Of an outage the guard tells, and not once for each request.
    if !matches!(error, LoginError::Store(_)) {
        tracing::error!("login failed: {}", Report(error));
    }
    unavailable("no login at the moment")
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "up" }))
}

async fn readyz(State(app): State<App>) -> Response {
    match app.sessions().guard().ready().await {
        Ok(()) => answer(StatusCode::OK, json!({ "status": "ready" })),
        Err(error) => unavailable(&Report(&error).to_string()),
    }
}

fn unavailable(description: &str) -> Response {
    let body = json!({ "error": "temporarily_unavailable", "error_description": description });
    (
        [(header::RETRY_AFTER, "1")],
        answer(StatusCode::SERVICE_UNAVAILABLE, body),
    )
        .into_response()
}

fn answer(status: StatusCode, body: Value) -> Response {
    // Tokens must not be kept by caches (RFC 6749 §5.1).
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
