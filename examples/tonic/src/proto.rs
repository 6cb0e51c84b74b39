//! What `build.rs` makes of `proto/account.proto`: messages, a client, a server.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "the code is generated"
)]

tonic::include_proto!("example.v1");
