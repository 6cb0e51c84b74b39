//! What the tests of the workspace share: servers, a proxy that fails on request, and the suites.

pub mod proxy;
pub mod redis_server;
pub mod store_suite;
