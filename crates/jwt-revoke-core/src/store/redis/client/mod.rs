//! Connections and commands: the seam to the client library, fred, which is known in this folder alone.
//!
//! fred makes single connections. All that decides about them is done here, since it must hold while a server
//! hangs: which server has the data, when a connection counts as lost, and when to try again.
//!
//! | | |
//! | --- | --- |
//! | `wire` | one connection; an `echo` behind its answers proves whose they are |
//! | `node` | a connection that is replaced when it breaks or goes silent; asks the `sentinels` |
//! | `cluster` | which node has which slot, and a connection to each |
//! | `link` | commands to whatever an address names |

mod backoff;
mod cluster;
mod connects;
mod echo;
mod link;
mod node;
mod sentinels;
mod speech;
mod target;
#[cfg(feature = "redis-rustls")]
pub(super) mod tls;
mod value;
mod wire;

use std::time::Duration;

pub(super) use self::{
    connects::Connection,
    link::Link,
    target::{Config, Sentinels, Server, Target},
    value::Value,
};

/// What a link is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkOptions {
    /// How long a command may take, unless it says otherwise.
    pub(super) timeout: Duration,
    /// How long connecting, with its first commands, may take.
    pub(super) connect_timeout: Duration,
    /// How often a command is sent when the connection breaks under it. Scripts that write: once.
    pub(super) attempts: u32,
    pub(super) probing: Probing,
}

/// Whether a connection is asked for an echo when something casts doubt on it, and each second.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probing {
    /// It is, and replaced when it gives none in this time.
    Within(Duration),
    /// It is not: its user gives it up as a whole when a read is not answered.
    Never,
}

/// A command and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) args: Vec<Value>,
}

impl Command {
    /// A command of words.
    pub(super) fn of(name: &'static str, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| Value::from(*arg)).collect();
        Self { name, args }
    }
}
