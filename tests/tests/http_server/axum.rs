//! The routes that the suite of all adapters asks for, by axum.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{borrow::Cow, convert::Infallible, future::IntoFuture as _};

use axum::{
    Router,
    body::Body,
    extract::{
        State,
        ws::{WebSocket, WebSocketUpgrade},
    },
    http::request::Parts,
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use jwt_revoke_core::guard::Outage;
use jwt_revoke_tests::http_suite::{COOKIE, Fixture, Running, TICKET, Tenant, admin, teapot};
use tower_jwt_revoke::{AuthRejection, AuthUser, RequireScopeLayer, RevocationLayer, logout_route};

/// Serves on a free port.
pub(crate) async fn serve(fixture: Fixture) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, app(fixture)).into_future();
    let stop = Box::new(tokio::spawn(server));
    Running { address, stop }
}

fn app(fixture: Fixture) -> Router {
    let layer = || RevocationLayer::new(fixture.guard.clone());
    // Of a tuple of layers, the first is outside.
    let scope = || RequireScopeLayer::new(admin());
    let allow = RevocationLayer::new(fixture.guard.with_outage(Outage::Allow));
    let other = || RevocationLayer::new(fixture.other_guard.clone());
    let plain = Router::new()
        .route("/me", get(user))
        .route("/claims", get(tenant))
        .route("/scope/handler", get(asks_for_admin))
        .route("/stream", get(streams))
        .route("/echo", post(echoes))
        .route("/ws", get(talks))
        // Not `layer`, which would also cover the fallback of the router that this is merged into.
        .route_layer(layer());
    let optional = Router::new()
        .route("/", get(maybe_user))
        .route("/claims", get(maybe_tenant))
        .route("/required", get(user))
        .route("/scope-layer", get(maybe_user).layer(scope()))
        .layer(layer().optional());
    let places = layer().from_header().from_cookie(COOKIE).from_fn(ticket);
    let outside = layer().optional().from_cookie(COOKIE).with_render(teapot);
    let rendered = Router::new()
        .route("/", get(user))
        .route("/claims", get(tenant))
        .route("/scope", get(user).layer(scope()))
        .layer(layer().with_render(teapot));
    Router::new()
        .merge(plain)
        .nest("/optional", optional)
        .route(
            "/optional/scoped",
            get(maybe_user).layer(layer().optional().require_scope(admin())),
        )
        .route("/cookie", get(user).layer(layer().from_cookie(COOKIE)))
        .route("/fn", get(user).layer(layer().from_fn(ticket)))
        .route("/anywhere", get(user).layer(places))
        .route("/scope", get(user).layer(layer().require_scope(admin())))
        .route("/scope/layer", get(user).layer((layer(), scope())))
        .route("/bare", get(user))
        .route("/bare/optional", get(maybe_user))
        .route("/bare/scope", get(public).layer(scope()))
        .route("/allow", get(user).layer(allow.clone()))
        .route("/allow/outside", get(user).layer((allow, layer())))
        .route("/twice", get(user).layer((layer(), layer())))
        .route("/other", get(whose).layer((layer(), other())))
        .route(
            "/other/optional",
            get(maybe_user).layer((layer(), other().optional().from_cookie(COOKIE))),
        )
        .nest("/rendered", rendered)
        .route(
            "/rendered/inside",
            get(user).layer((layer(), layer().with_render(teapot), scope())),
        )
        .route(
            "/rendered/outside",
            get(user).layer((outside, layer(), scope())),
        )
        .route("/public", get(public))
        .nest("/auth", logout_route(fixture.guard.clone()))
        .with_state(fixture)
}

async fn public() -> &'static str {
    "public"
}

async fn user(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

async fn maybe_user(user: Option<AuthUser>) -> String {
    user.map_or("nobody".to_owned(), |user| {
        user.subject().unwrap().to_string()
    })
}

async fn tenant(user: AuthUser<Tenant>) -> String {
    user.claims.tenant.clone()
}

async fn maybe_tenant(user: Option<AuthUser<Tenant>>) -> String {
    user.map_or("nobody".to_owned(), |user| user.claims.tenant.clone())
}

async fn asks_for_admin(user: AuthUser) -> Result<String, AuthRejection> {
    user.require_scope(&admin())?;
    Ok(user.subject().unwrap().to_string())
}

async fn whose(State(fixture): State<Fixture>, user: AuthUser) -> &'static str {
    match fixture.other_guard.accepts(&user.access) {
        true => "other",
        false => "this",
    }
}

async fn streams(State(fixture): State<Fixture>) -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from("first")) });
    let second = stream::once(async move {
        fixture.go_on.notified().await;
        Ok(Bytes::from("second"))
    });
    Body::from_stream(first.chain(second))
}

async fn echoes(body: Body) -> Body {
    body
}

async fn talks(upgrade: WebSocketUpgrade) -> Response {
    async fn echo(mut socket: WebSocket) {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    }
    upgrade.on_upgrade(echo)
}

fn ticket(request: &Parts) -> Option<Cow<'_, str>> {
    Some(request.uri.query()?.strip_prefix(TICKET)?.into())
}
