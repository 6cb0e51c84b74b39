//! The routes that the suite of all adapters asks for, by actix-web.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{borrow::Cow, convert::Infallible, net::TcpListener, sync::Arc};

use actix_jwt_revoke::{
    AuthRejection, AuthUser, MaybeAuthUser, RequireScopeLayer, RevocationLayer, logout_route,
};
use actix_web::{
    Error, HttpRequest, HttpResponse,
    web::{self, Bytes, ServiceConfig},
};
use actix_ws::Message;
use futures::{StreamExt as _, stream};
use jwt_revoke_core::guard::Outage;
use jwt_revoke_tests::{
    actix_server::ActixServer,
    http_suite::{COOKIE, Fixture, Running, TICKET, Tenant, admin, teapot},
};

/// Serves on a free port.
pub(crate) async fn serve(fixture: Fixture) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = ActixServer::start(listener, move |config| app(&fixture, config));
    let stop = Box::new(server);
    Running { address, stop }
}

fn app(fixture: &Fixture, config: &mut ServiceConfig) {
    let layer = || RevocationLayer::new(fixture.guard.clone());
    let scope = || RequireScopeLayer::new(admin());
    let allow = RevocationLayer::new(fixture.guard.with_outage(Outage::Allow));
    let other = || RevocationLayer::new(fixture.other_guard.clone());
    let places = layer().from_header().from_cookie(COOKIE).from_fn(ticket);
    let optional = web::scope("/optional")
        .service(web::resource("").to(maybe_user))
        .service(web::resource("/claims").to(maybe_tenant))
        .service(web::resource("/required").to(user))
        .service(web::resource("/scope-layer").to(maybe_user).wrap(scope()))
        .wrap(layer().optional());
    let outside = layer().optional().from_cookie(COOKIE).with_render(teapot);
    let rendered = web::scope("/rendered")
        .service(web::resource("").to(user))
        .service(web::resource("/claims").to(tenant))
        .service(web::resource("/scope").to(user).wrap(scope()))
        .wrap(layer().with_render(teapot));
    // Of several wraps, the last is outside.
    config
        .app_data(web::Data::new(fixture.clone()))
        .service(web::resource("/me").to(user).wrap(layer()))
        .service(web::resource("/claims").to(tenant).wrap(layer()))
        .service(web::resource("/stream").to(streams).wrap(layer()))
        .service(web::resource("/ws").to(talks).wrap(layer()))
        .service(
            web::resource("/scope/handler")
                .to(asks_for_admin)
                .wrap(layer()),
        )
        .route("/echo", web::post().to(echoes).wrap(layer()))
        .service(
            web::resource("/optional/scoped")
                .to(maybe_user)
                .wrap(layer().optional().require_scope(admin())),
        )
        .service(optional)
        .service(
            web::resource("/rendered/inside")
                .to(user)
                .wrap(scope())
                .wrap(layer().with_render(teapot))
                .wrap(layer()),
        )
        .service(
            web::resource("/rendered/outside")
                .to(user)
                .wrap(scope())
                .wrap(layer())
                .wrap(outside),
        )
        .service(rendered)
        .service(
            web::resource("/cookie")
                .to(user)
                .wrap(layer().from_cookie(COOKIE)),
        )
        .service(web::resource("/fn").to(user).wrap(layer().from_fn(ticket)))
        .service(web::resource("/anywhere").to(user).wrap(places))
        .service(
            web::resource("/scope")
                .to(user)
                .wrap(layer().require_scope(admin())),
        )
        .service(
            web::resource("/scope/layer")
                .to(user)
                .wrap(scope())
                .wrap(layer()),
        )
        .service(web::resource("/bare").to(user))
        .service(web::resource("/bare/optional").to(maybe_user))
        .service(web::resource("/bare/scope").to(public).wrap(scope()))
        .service(web::resource("/allow").to(user).wrap(allow.clone()))
        .service(
            web::resource("/allow/outside")
                .to(user)
                .wrap(layer())
                .wrap(allow),
        )
        .service(web::resource("/twice").to(user).wrap(layer()).wrap(layer()))
        .service(
            web::resource("/other")
                .to(whose)
                .wrap(other())
                .wrap(layer()),
        )
        .service(
            web::resource("/other/optional")
                .to(maybe_user)
                .wrap(other().optional().from_cookie(COOKIE))
                .wrap(layer()),
        )
        .service(web::resource("/public").to(public))
        .service(web::scope("/auth").service(logout_route(fixture.guard.clone())));
}

async fn public() -> &'static str {
    "public"
}

async fn user(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

async fn maybe_user(MaybeAuthUser(user): MaybeAuthUser) -> String {
    user.map_or("nobody".to_owned(), |user| {
        user.subject().unwrap().to_string()
    })
}

async fn tenant(user: AuthUser<Tenant>) -> String {
    user.claims.tenant.clone()
}

async fn maybe_tenant(MaybeAuthUser(user): MaybeAuthUser<Tenant>) -> String {
    user.map_or("nobody".to_owned(), |user| user.claims.tenant.clone())
}

async fn asks_for_admin(user: AuthUser) -> Result<String, AuthRejection> {
    user.require_scope(&admin())?;
    Ok(user.subject().unwrap().to_string())
}

async fn whose(fixture: web::Data<Fixture>, user: AuthUser) -> &'static str {
    match fixture.other_guard.accepts(&user.access) {
        true => "other",
        false => "this",
    }
}

async fn streams(fixture: web::Data<Fixture>) -> HttpResponse {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from("first")) });
    let go_on = Arc::clone(&fixture.go_on);
    let second = stream::once(async move {
        go_on.notified().await;
        Ok(Bytes::from("second"))
    });
    HttpResponse::Ok().streaming(first.chain(second))
}

async fn echoes(body: web::Payload) -> HttpResponse {
    HttpResponse::Ok().streaming(body)
}

async fn talks(request: HttpRequest, body: web::Payload) -> Result<HttpResponse, Error> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(Message::Text(text))) = messages.next().await {
            if session.text(text).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

fn ticket(request: &HttpRequest) -> Option<Cow<'_, str>> {
    Some(request.uri().query()?.strip_prefix(TICKET)?.into())
}
