//! A tower layer that verifies JWTs and refuses revoked ones, for axum, tonic and other tower stacks.
//!
//! [`RevocationLayer`] asks a [`Guard`](jwt_revoke_core::Guard) about the token of each request. One
//! that is forged, expired or revoked never reaches the service inside; the others bring an
//! [`Access`](jwt_revoke_core::Access) along, which handlers receive as `AuthUser`.
//!
//! ```
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
//! use jwt_revoke_core::{
//!     Guard, Issuer,
//!     guard::Target,
//!     session::Grant,
//!     store::EmbeddedStore,
//!     verify::{Algorithm, SigningKey},
//! };
//! use tower::ServiceExt as _;
//! use tower_jwt_revoke::{AuthUser, RevocationLayer};
//!
//! async fn me(user: AuthUser) -> String {
//!     user.subject().map(ToString::to_string).unwrap_or_default()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate(Algorithm::EdDSA)?;
//! let issuer = Issuer::new(key, "https://auth.example.com", "api");
//! let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
//! let app: Router = Router::new()
//!     .route("/me", get(me))
//!     .route_layer(RevocationLayer::new(guard.clone()));
//!
//! let alice = issuer.issue(&guard, "alice", &Grant::new()).await?;
//! let request = || {
//!     Request::get("/me")
//!         .header("authorization", format!("Bearer {}", alice.token()))
//!         .body(Body::empty())
//! };
//! let response = app.clone().oneshot(request()?).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//!
//! guard.revoke(Target::session(alice.session().as_str()).of("alice")).await?;
//! let response = app.oneshot(request()?).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert!(response.headers().contains_key("www-authenticate"));
//! # Ok(())
//! # }
//! ```
//!
//! Stores are features of `jwt-revoke-core`: depend on it too, with `redis` or `redis-rustls` if the
//! store is one.
//!
//! # Without axum
//!
//! Layer, service, future and response body need nothing of axum: with `default-features = false`
//! they serve any stack of `tower`, `http` and `http-body` 1.0, such as plain hyper. The access is in
//! `request.extensions().get::<Access>()`.
//!
//! # gRPC
//!
//! With [`Grpc`](jwt_revoke_core::wire::Grpc) as its renderer, the layer refuses by gRPC status codes:
//! `RevocationLayer::new(guard).with_render(Grpc::new())`. It stands in front of single services, as
//! `layer.layer(GreeterServer::new(..))` in `add_service`, or of all by `Server::builder().layer(..)`.
//! A stream is checked when it is opened. In handlers of tonic, `AccessExt` (feature `tonic`) has the
//! access of the request.
//!
//! # Features
//!
//! - `axum` (default): extractors, by `axum-core`.
//! - `tonic`: `AccessExt` for handlers of tonic services, `NamedService` for layered ones.
//! - `routes`: companion routes to mount in a router, by `axum`: refresh, logout, log out
//!   everywhere, list of sessions.

#![warn(missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod extract;
mod future;
#[cfg(feature = "tonic")]
mod grpc;
mod layer;
mod response;
#[cfg(feature = "routes")]
mod routes;
mod scope;
mod service;
#[cfg(any(feature = "axum", feature = "tonic"))]
mod user;

#[cfg(any(feature = "axum", feature = "tonic"))]
pub use jwt_revoke_core::guard::NoClaims;
pub use jwt_revoke_core::wire::MissingAccess;

#[cfg(feature = "axum")]
pub use self::extract::Token;
#[cfg(feature = "tonic")]
pub use self::grpc::AccessExt;
#[cfg(feature = "routes")]
pub use self::routes::{
    Routes, SameOrigin, logout_route, logout_route_behind, oauth_routes, routes, well_known,
};
#[cfg(any(feature = "axum", feature = "tonic"))]
pub use self::user::{AuthRejection, AuthUser};
pub use self::{
    future::ResponseFuture,
    layer::RevocationLayer,
    response::ResponseBody,
    scope::{RequireScopeLayer, RequireScopeService},
    service::RevocationService,
};
