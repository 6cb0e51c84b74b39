//! The routes that the suite of sessions asks for, by actix-web.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::TcpListener;

use actix_jwt_revoke::{AuthUser, RevocationLayer, Routes, SameOrigin};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, ServiceConfig},
};
use futures::future::{BoxFuture, FutureExt as _};
use jwt_revoke_core::{
    session::{Grant, LoginError},
    wire::{Cookies, Route},
};
use jwt_revoke_tests::{
    actix_server::ActixServer,
    http_suite::{Running, sessions::SessionFixture},
};

/// Serves on a free port.
pub(crate) fn serve(fixture: SessionFixture) -> BoxFuture<'static, Running> {
    async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = ActixServer::start(listener, move |config| app(&fixture, config));
        let stop = Box::new(server);
        Running { address, stop }
    }
    .boxed()
}

fn app(fixture: &SessionFixture, config: &mut ServiceConfig) {
    let sessions = &fixture.sessions;
    let layer = || RevocationLayer::new(sessions.guard().clone());
    let cookies = Cookies::under("/cookies/auth").unwrap();
    let cookies = cookies.with_origin("https://app.example.com".parse().unwrap());
    let from_cookie = layer().from_header().from_cookies(&cookies);
    let with_cookies = Routes::new(sessions).with_cookies(cookies);
    let with_cookies = with_cookies.with_password_change(fixture.password_change());
    let own = Routes::new(sessions).with_password_change(fixture.password_change());
    let plain = Routes::new(sessions);
    config
        .app_data(web::Data::new(fixture.clone()))
        .route("/me", web::get().to(me).wrap(layer()))
        .service(
            web::resource("/cookies/me")
                .route(web::get().to(me))
                .route(web::post().to(me))
                .wrap(from_cookie),
        )
        .service(web::scope("/auth").service(own))
        .service(web::scope("/cookies/auth").service(with_cookies.clone()))
        .service(web::scope("/some/auth").service(plain.clone().without(Route::LogoutAll)))
        .service(
            web::resource("/login")
                .app_data(web::Data::new(plain))
                .route(web::post().to(login)),
        )
        .service(
            web::resource("/cookies/login")
                .app_data(web::Data::new(with_cookies))
                .route(web::post().to(login)),
        );
}

async fn me(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}

async fn login(
    _: SameOrigin,
    fixture: web::Data<SessionFixture>,
    routes: web::Data<Routes>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let user = body["username"].as_str().unwrap();
    let Ok(attempt) = fixture.sessions.begin().await else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    fixture.begun.add_permits(1);
    drop(fixture.password_checks.acquire().await);
    let device = request.headers().get(header::USER_AGENT);
    let device = device.and_then(|agent| agent.to_str().ok());
    let scope = body["scope"].as_str().unwrap_or_default();
    let grant = Grant::new()
        .with_device(device.unwrap_or_default())
        .with_scope(scope.parse().unwrap());
    match routes.sessions().login(attempt, user, &grant).await {
        Ok(pair) => routes.signed_in(&pair),
        Err(LoginError::Stale | LoginError::TooManySessions) => HttpResponse::Conflict().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}
