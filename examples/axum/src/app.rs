//! The routes.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use example_shared::Users;
use jwt_revoke_core::{Guard, Issuer, Report, session::Grant};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_jwt_revoke::{AuthUser, RevocationLayer, routes};

#[derive(Clone)]
struct App {
    guard: Guard,
    issuer: Issuer,
    users: Users,
}

pub(crate) fn app(guard: Guard, issuer: Issuer, users: Users) -> Router {
    let protected = Router::new()
        .route("/me", get(me))
        .route_layer(RevocationLayer::new(guard.clone()));
    Router::new()
        .merge(protected)
        .route("/public", get(public))
        .route("/login", post(login))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        // The companion routes check their own tokens, so they are not behind the layer.
        .nest("/auth", routes(guard.clone()))
        .with_state(App {
            guard,
            issuer,
            users,
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

/// Making sure who it is stays the application's; "this is Alice" becomes a token here.
async fn login(State(app): State<App>, Json(credentials): Json<Credentials>) -> Response {
    let Credentials { username, password } = credentials;
    if !app.users.check(username.clone(), password).await {
        let body =
            json!({ "error": "invalid_grant", "error_description": "wrong name or password" });
        return answer(StatusCode::UNAUTHORIZED, body);
    }
    match app.issuer.issue(&app.guard, username, &Grant::new()).await {
        Ok(issued) => answer(
            StatusCode::OK,
            json!({
                "access_token": issued.token(),
                "token_type": "Bearer",
                "expires_in": issued.expires_in().as_secs(),
            }),
        ),
        Err(error) => {
            tracing::error!("login failed: {}", Report(&error));
            unavailable("no login at the moment")
        }
    }
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "up" }))
}

async fn readyz(State(app): State<App>) -> Response {
    match app.guard.ready().await {
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
