//! What the tests of the workspace share: servers, a proxy that fails on request, and the suites.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

pub mod actix_server;
pub mod controlled_store;
pub mod differential;
pub mod history;
pub mod http_suite;
pub mod logs;
pub mod meta;
pub mod model;
pub mod oauth_suite;
pub mod observed_store;
pub mod patience;
pub mod proxy;
pub mod raw_http;
pub mod redis_groups;
pub mod redis_server;
pub mod redis_store;
pub mod service_suite;
pub mod session_suite;
pub mod sessions;
#[cfg(doctest)]
mod snippets;
pub mod store_suite;
pub mod told_store;
