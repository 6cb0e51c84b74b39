//! The one folder that knows fred, the client library: connections, commands, and what they fail with.

mod connects;
mod link;
#[cfg(feature = "redis-rustls")]
pub(super) mod tls;

pub(super) use self::{
    connects::Connection,
    link::{Command, Link, LinkOptions},
};
