//! The routes.

use axum::{
    Json, Router,
    extract::{FromRef, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use example_shared::{Busy, Stop, Users, login_failed, malformed, not_ready};
use jwt_revoke_core::{
    session::{Grant, LoginError, Sessions},
    token::Subject,
    wire::oauth::{Metadata, OAuth},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_jwt_revoke::{AuthUser, RevocationLayer, Routes, SameOrigin, oauth_routes, well_known};

use crate::socket::talks;

#[derive(Clone)]
struct App {
    routes: Routes,
    users: Users,
    stop: Stop,
}

impl App {
    fn sessions(&self) -> &Sessions {
        self.routes.sessions()
    }
}

impl FromRef<App> for Routes {
    fn from_ref(app: &App) -> Self {
        app.routes.clone()
    }
}

impl FromRef<App> for Stop {
    fn from_ref(app: &App) -> Self {
        app.stop.clone()
    }
}

/// All routes: login, a protected one, refresh, logout, password and sessions, those of OAuth.
pub fn app(
    sessions: &Sessions,
    users: Users,
    stop: Stop,
    (oauth, metadata): (OAuth, Metadata),
) -> Router {
    let table = users.clone();
    let routes = Routes::new(sessions).with_password_change(
        move |user: Subject, current: String, new: String| {
            let table = table.clone();
            async move { table.change(user.as_str().to_owned(), current, new).await }
        },
    );
    let companion = routes.clone().into_router().merge(oauth_routes(oauth));
    // Around single methods, so that others are answered 405 and not 401.
    let protected = RevocationLayer::new(sessions.guard().clone());
    Router::new()
        .route("/me", get(me).route_layer(protected.clone()))
        .route("/ws", get(talks).route_layer(protected))
        .route("/public", get(public))
        .route("/login", post(login))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        // The companion routes check their own tokens, so they are not behind the layer.
        .nest("/auth", companion)
        .merge(well_known(metadata))
        .with_state(App {
            routes,
            users,
            stop,
        })
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

/// Making sure who it is stays the application's; "this is Alice" becomes a session here. With tokens
/// in cookies (`Routes::with_cookies`), `SameOrigin` keeps other pages from logging visitors in.
async fn login(
    _: SameOrigin,
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
    match app.users.check(username.clone(), password).await {
        Ok(true) => {}
        Ok(false) => return refused("wrong name or password"),
        Err(Busy) => return unavailable("too many logins at the moment"),
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
        return refused("log in again");
    }
    login_failed(error);
    unavailable("no login at the moment")
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "up" }))
}

async fn readyz(State(app): State<App>) -> Response {
    match app.sessions().guard().ready().await {
        Ok(()) => answer(StatusCode::OK, json!({ "status": "ready" })),
        Err(error) => {
            not_ready(&error);
            unavailable("store unavailable")
        }
    }
}

fn refused(description: &str) -> Response {
    let body = json!({ "error": "invalid_grant", "error_description": description });
    answer(StatusCode::UNAUTHORIZED, body)
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
