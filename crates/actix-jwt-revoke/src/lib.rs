//! A middleware for actix-web that verifies JWTs and refuses revoked ones, with extractors.
//!
//! [`RevocationLayer`] asks a [`Guard`](jwt_revoke_core::Guard) about the token of each request. One
//! that is forged, expired or revoked never reaches the handlers inside; the others bring an
//! [`Access`](jwt_revoke_core::Access) along, which handlers receive as [`AuthUser`].
//!
//! ```
//! use actix_jwt_revoke::{AuthUser, RevocationLayer};
//! use actix_web::{App, http::StatusCode, test, web};
//! use jwt_revoke_core::{
//!     Guard, Issuer,
//!     guard::Target,
//!     session::Grant,
//!     store::EmbeddedStore,
//!     verify::{Algorithm, SigningKey},
//! };
//!
//! async fn me(user: AuthUser) -> String {
//!     user.subject().map(ToString::to_string).unwrap_or_default()
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate(Algorithm::EdDSA)?;
//! let issuer = Issuer::new(key, "https://auth.example.com", "api");
//! let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
//! let layer = RevocationLayer::new(guard.clone());
//! let app = App::new().service(web::resource("/me").route(web::get().to(me)).wrap(layer));
//! let app = test::init_service(app).await;
//!
//! let alice = issuer.issue(&guard, "alice", &Grant::new()).await?;
//! let request = || {
//!     let bearer = ("authorization", format!("Bearer {}", alice.token()));
//!     test::TestRequest::with_uri("/me").insert_header(bearer).to_request()
//! };
//! let response = test::call_service(&app, request()).await;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! guard.revoke(Target::session(alice.session().as_str()).of("alice")).await?;
//! let response = test::call_service(&app, request()).await;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert!(response.headers().contains_key("www-authenticate"));
//! # Ok(())
//! # }
//! ```
//!
//! Stores are features of `jwt-revoke-core`: depend on it too, with `redis` or `redis-rustls` if the
//! store is one. Make the guard outside of the factory that `HttpServer::new` takes and clone it
//! inside: all workers then share one.
//!
//! # Features
//!
//! - `routes`: companion routes to mount in an app or a scope: refresh, logout, log out everywhere,
//!   list of sessions, OAuth.

#![warn(missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod extract;
mod middleware;
mod response;
#[cfg(feature = "routes")]
mod routes;

pub use jwt_revoke_core::guard::NoClaims;
pub use jwt_revoke_core::wire::MissingAccess;

#[cfg(feature = "routes")]
pub use self::routes::{
    Routes, SameOrigin, logout_route, logout_route_behind, oauth_routes, routes, well_known,
};
pub use self::{
    extract::{AuthRejection, AuthUser, MaybeAuthUser, Token},
    middleware::{
        RequireScopeLayer, RequireScopeService, ResponseFuture, RevocationLayer, RevocationService,
    },
};
