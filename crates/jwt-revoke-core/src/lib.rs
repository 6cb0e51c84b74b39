//! Verify JWTs and take them back.
//!
//! A signed JWT cannot be taken back: between "log me out" and `exp` it keeps working. This crate
//! closes the gap. It verifies a token's signature and claims, then asks a store whether the token
//! was revoked, and knows no web framework: `tower-jwt-revoke` brings it into axum and whatever else
//! is built on tower, `actix-jwt-revoke` into actix-web.
//!
//! ```
//! use jwt_revoke_core::{
//!     Guard, Issuer,
//!     guard::Target,
//!     revocation::ClaimName,
//!     session::Grant,
//!     store::AnyStore,
//!     verify::{Algorithm, SigningKey},
//! };
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Claims {
//!     tenant: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Of your own tokens. Keep the key: `SigningKey::to_key_file`.
//! let key = SigningKey::generate(Algorithm::EdDSA)?;
//! let issuer = Issuer::new(key, "https://auth.example.com", "api");
//! let tenant = ClaimName::new("tenant")?;
//! let verifier = issuer.verifier().with_claim_dimension(tenant.clone());
//!
//! // Or "file:revocations", "redis://localhost" ..
//! let store = AnyStore::connect("memory:").await?;
//! let guard = Guard::new(verifier, store);
//! guard.ready().await?;
//!
//! // A login.
//! let claims = Claims { tenant: "acme".to_owned() };
//! let grant = Grant::new().with_scope("read write".parse()?).with_claims(&claims)?;
//! let issued = issuer.issue(&guard, "alice", &grant).await?;
//!
//! // A request.
//! let access = guard.check(issued.token()).await?;
//! assert_eq!(access.subject().map(|subject| subject.as_str()), Some("alice"));
//! assert_eq!(access.claims::<Claims>()?.tenant, "acme");
//!
//! // Take back what you like: a session, a user, a tenant, a key ..
//! guard.revoke(Target::logout(&access)).await?;
//! guard.revoke(Target::subject("alice").because("password change")).await?;
//! guard.revoke(Target::claim(&tenant, "acme")).await?;
//! assert_eq!(guard.check(issued.token()).await.unwrap_err().status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens of another issuer
//!
//! A [`Verifier`] with the issuer's keys instead of an [`Issuer`].
//! Many issuers send tokens without `typ` or `jti`, which must be allowed by name:
//!
//! ```
//! use jwt_revoke_core::{Guard, Verifier, store::AnyStore, verify::KeySet};
//!
//! # async fn example(jwks: &str, store: AnyStore) -> Result<Guard, Box<dyn std::error::Error>> {
//! let (keys, refused) = KeySet::from_jwks(jwks)?;
//! for key in &refused {
//!     eprintln!("{key}"); // It says why; the others serve.
//! }
//! let verifier = Verifier::new(keys, "https://idp.example.com/", "https://api.example.com")
//!     .allow_untyped()
//!     .allow_missing_jti();
//! let guard = Guard::new(verifier, store);
//! # Ok(guard)
//! # }
//! ```
//!
//! Their births are dated by the issuer's clock, so a revocation of a user reaches
//! [`FOREIGN_SKEW`](defaults::FOREIGN_SKEW) further: a login within these seconds is refused.
//! [`Verifier::replace_keys`] takes a new key set while in use; to
//! fetch it is up to the application.
//!
//! # Where to look
//!
//! [`guard`] decides, [`verify`] holds keys and rules, [`store`] keeps revocations, [`session`] issues
//! tokens, [`revocation`] is the rule. [`defaults`] has every number.
//!
//! # Features
//!
//! - `embedded` (default): a store in one file, or in memory. No server.
//! - `redis`: Redis and Valkey, on tokio. `redis-rustls`: with TLS (`rediss://`).
//! - `tokio`: what a caller begins and no longer waits for is finished on the tokio runtime at hand; without
//!   it, on a thread of this crate. `redis` and the adapters turn it on.
//! - `metrics`: counts and times, by the facade of the crate `metrics`; see the module `metrics`.
//! - `test-util`: `FakeClock`.
//!
//! Without any, it verifies tokens and guards them by a [`Store`](store::Store) of your own.
//! Cryptography is `aws-lc-rs`, which takes a C compiler to build.

#![warn(missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
pub mod defaults;
mod finish;
pub mod guard;
mod meters;
#[cfg(feature = "metrics")]
pub mod metrics;
mod quoted;
mod report;
pub mod revocation;
pub mod session;
pub mod store;
pub mod token;
pub mod verify;
pub mod wire;

#[cfg(any(test, feature = "test-util"))]
pub use clock::FakeClock;
pub use clock::{Clock, SystemClock, Timestamp};
pub use guard::{Access, Denied, Guard};
pub use quoted::Quoted;
pub use report::Report;
pub use session::Issuer;
pub use verify::Verifier;
