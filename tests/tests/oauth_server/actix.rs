//! The routes that the suite of the OAuth routes asks for, by actix-web.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::TcpListener;

use actix_jwt_revoke::{AuthUser, RevocationLayer, oauth_routes, well_known};
use actix_web::web::{self, ServiceConfig};
use jwt_revoke_tests::{actix_server::ActixServer, oauth_suite::Fixture};

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, fixture: Fixture) -> ActixServer {
    ActixServer::start(listener, move |config| app(&fixture, config))
}

fn app(fixture: &Fixture, config: &mut ServiceConfig) {
    let layer = RevocationLayer::new(fixture.guard.clone());
    config
        .route("/me", web::get().to(me).wrap(layer))
        .service(well_known(fixture.oauth.metadata("/auth").unwrap()))
        .service(web::scope("/auth").service(oauth_routes(fixture.oauth.clone())))
        .service(web::scope("/strict").service(oauth_routes(fixture.strict.clone())));
}

async fn me(user: AuthUser) -> String {
    user.subject().unwrap().to_string()
}
