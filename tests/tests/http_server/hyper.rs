//! The routes that the suite of all adapters asks for, by hyper and tower, without a router.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{borrow::Cow, collections::HashMap, convert::Infallible, future::Future, sync::Arc};

use axum::{RequestPartsExt as _, body::Body, response::IntoResponse as _};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, request::Parts};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use jwt_revoke_core::guard::Outage;
use jwt_revoke_tests::http_suite::{COOKIE, Fixture, Running, TICKET, Tenant, admin, teapot};
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_jwt_revoke::{AuthRejection, AuthUser, RequireScopeLayer, RevocationLayer};
use tower_layer::Layer;

type Handler = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
type Answer = Result<Response<Body>, AuthRejection>;

/// Serves on a free port.
pub(crate) async fn serve(fixture: Fixture) -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Arc::new(routes(&fixture));
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = routes.get(request.uri().path()).cloned();
        async move {
            match handler {
                Some(handler) => handler.oneshot(request.map(Body::new)).await,
                None => Ok(StatusCode::NOT_FOUND.into_response()),
            }
        }
    });
    let stop = Box::new(tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    }));
    Running { address, stop }
}

fn routes(fixture: &Fixture) -> HashMap<&'static str, Handler> {
    let layer = || RevocationLayer::new(fixture.guard.clone());
    let scope = || RequireScopeLayer::new(admin());
    let allow = || RevocationLayer::new(fixture.guard.with_outage(Outage::Allow));
    let other = || RevocationLayer::new(fixture.other_guard.clone());
    let places = layer().from_header().from_cookie(COOKIE).from_fn(ticket);
    let rendered = || layer().with_render(teapot);
    let this = fixture.clone();
    let whose = move |parts| whose(this.clone(), parts);
    let go_on = Arc::clone(&fixture.go_on);
    let streams = move |_| {
        let go_on = Arc::clone(&go_on);
        async move {
            let first = stream::once(async { Ok::<_, Infallible>(Bytes::from("first")) });
            let second = stream::once(async move {
                go_on.notified().await;
                Ok(Bytes::from("second"))
            });
            Ok(Response::new(Body::from_stream(first.chain(second))))
        }
    };
    let echoes = service_fn(async |request: Request<Body>| Ok(Response::new(request.into_body())));
    HashMap::from([
        ("/public", handler(public)),
        ("/me", within(layer(), handler(user))),
        ("/claims", within(layer(), handler(tenant))),
        ("/scope/handler", within(layer(), handler(asks_for_admin))),
        ("/stream", within(layer(), handler(streams))),
        ("/echo", within(layer(), Handler::new(echoes))),
        ("/optional", within(layer().optional(), handler(maybe_user))),
        (
            "/optional/claims",
            within(layer().optional(), handler(maybe_tenant)),
        ),
        (
            "/optional/required",
            within(layer().optional(), handler(user)),
        ),
        (
            "/optional/scoped",
            within(
                layer().optional().require_scope(admin()),
                handler(maybe_user),
            ),
        ),
        (
            "/optional/scope-layer",
            within(layer().optional(), within(scope(), handler(maybe_user))),
        ),
        (
            "/cookie",
            within(layer().from_cookie(COOKIE), handler(user)),
        ),
        ("/fn", within(layer().from_fn(ticket), handler(user))),
        ("/anywhere", within(places, handler(user))),
        (
            "/scope",
            within(layer().require_scope(admin()), handler(user)),
        ),
        (
            "/scope/layer",
            within(layer(), within(scope(), handler(user))),
        ),
        ("/bare", handler(user)),
        ("/bare/optional", handler(maybe_user)),
        ("/bare/scope", within(scope(), handler(public))),
        ("/allow", within(allow(), handler(user))),
        (
            "/allow/outside",
            within(allow(), within(layer(), handler(user))),
        ),
        ("/twice", within(layer(), within(layer(), handler(user)))),
        ("/other", within(layer(), within(other(), handler(whose)))),
        (
            "/other/optional",
            within(
                layer(),
                within(other().optional().from_cookie(COOKIE), handler(maybe_user)),
            ),
        ),
        ("/rendered", within(rendered(), handler(user))),
        (
            "/rendered/inside",
            within(layer(), within(rendered(), within(scope(), handler(user)))),
        ),
        (
            "/rendered/outside",
            within(
                rendered().optional().from_cookie(COOKIE),
                within(layer(), within(scope(), handler(user))),
            ),
        ),
        ("/rendered/claims", within(rendered(), handler(tenant))),
        (
            "/rendered/scope",
            within(rendered(), within(scope(), handler(user))),
        ),
    ])
}

/// A service inside of a layer.
fn within<L>(layer: L, inner: Handler) -> Handler
where
    L: Layer<Handler>,
    L::Service: tower::Service<Request<Body>, Error = Infallible, Response: Boxed>
        + Clone
        + Send
        + Sync
        + 'static,
    <L::Service as tower::Service<Request<Body>>>::Future: Send,
{
    Handler::new(layer.layer(inner).map_response(Boxed::boxed))
}

/// A response of a layer, with one type of body whatever the layers.
trait Boxed {
    fn boxed(self) -> Response<Body>;
}

impl<B> Boxed for Response<B>
where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    fn boxed(self) -> Response<Body> {
        self.map(Body::new)
    }
}

/// A handler, which sees the head of the request.
fn handler<F, R>(handle: F) -> Handler
where
    F: Fn(Parts) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    Handler::new(service_fn(move |request: Request<Body>| {
        let answer = handle(request.into_parts().0);
        async { Ok(answer.await.into_response()) }
    }))
}

async fn public(_: Parts) -> Answer {
    Ok("public".into_response())
}

async fn user(mut parts: Parts) -> Answer {
    let user: AuthUser = parts.extract().await?;
    Ok(user.subject().unwrap().to_string().into_response())
}

async fn maybe_user(mut parts: Parts) -> Answer {
    let user: Option<AuthUser> = parts.extract().await?;
    let name = user.map_or("nobody".to_owned(), |user| {
        user.subject().unwrap().to_string()
    });
    Ok(name.into_response())
}

async fn tenant(mut parts: Parts) -> Answer {
    let user: AuthUser<Tenant> = parts.extract().await?;
    Ok(user.claims.tenant.clone().into_response())
}

async fn maybe_tenant(mut parts: Parts) -> Answer {
    let user: Option<AuthUser<Tenant>> = parts.extract().await?;
    let tenant = user.map_or("nobody".to_owned(), |user| user.claims.tenant.clone());
    Ok(tenant.into_response())
}

async fn asks_for_admin(mut parts: Parts) -> Answer {
    let user: AuthUser = parts.extract().await?;
    user.require_scope(&admin())?;
    Ok(user.subject().unwrap().to_string().into_response())
}

async fn whose(fixture: Fixture, mut parts: Parts) -> Answer {
    let user: AuthUser = parts.extract().await?;
    let name = match fixture.other_guard.accepts(&user.access) {
        true => "other",
        false => "this",
    };
    Ok(name.into_response())
}

fn ticket(request: &Parts) -> Option<Cow<'_, str>> {
    Some(request.uri.query()?.strip_prefix(TICKET)?.into())
}
