//! Verify JWTs and take them back.
//!
//! A signed JWT cannot be taken back: between "log me out" and `exp` it keeps working. This crate
//! closes the gap. It verifies a token's signature and claims, then asks a store whether the token
//! was revoked, and knows no web framework: `tower-jwt-revoke` and `actix-jwt-revoke` bring it into
//! one.

pub mod clock;
pub mod defaults;
pub mod guard;
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
pub use report::Report;
pub use session::Issuer;
pub use verify::Verifier;
