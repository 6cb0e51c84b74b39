//! A gRPC service whose JWTs can be taken back. `src/bin/server.rs` says how to try it.

mod account;
#[allow(missing_debug_implementations, reason = "the code is generated")]
pub mod proto;

pub use self::account::grpc;
