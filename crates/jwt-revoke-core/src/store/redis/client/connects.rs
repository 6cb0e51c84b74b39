//! Which connections a link has made: with each, the server behind it may be another, or have lost writes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::store::redis::client::Server;

/// Counts connections, by the server that each leads to.
#[derive(Debug, Default)]
pub(in crate::store::redis) struct Connects(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    all: u64,
    of: HashMap<Server, u64>,
    /// How often it was not known which servers were connected to, so that it may have been any.
    unknown: u64,
}

/// A connection to the primary of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::redis) struct Connection {
    /// `None` if there is one server only, or none that has the slot.
    server: Option<Server>,
    number: u64,
}

impl Connects {
    /// A connection was made.
    pub(in crate::store::redis) fn add(&self, server: Server) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.all += 1;
        if counted.of.len() >= MOST && !counted.of.contains_key(&server) {
            counted.of.clear();
            counted.unknown += 1;
        }
        *counted.of.entry(server).or_default() += 1;
    }

    /// The latest connection to a server of a Cluster, or to whichever there is.
    pub(in crate::store::redis) fn latest(&self, server: Option<Server>) -> Connection {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match &server {
            None => counted.all,
            Some(server) => {
                let of_this = counted.of.get(server).copied().unwrap_or_default();
                counted
                    .unknown
                    .saturating_mul(UNKNOWN)
                    .saturating_add(of_this)
            }
        };
        Connection { server, number }
    }
}

/// How many servers are told apart: a Cluster whose nodes change their addresses must not fill memory.
const MOST: usize = 1_024;

/// More than connections are made to one server.
const UNKNOWN: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> Server {
        Server::new("127.0.0.1", port)
    }

    #[test]
    fn a_connection_to_one_server_is_none_to_another() {
        let connects = Connects::default();
        connects.add(server(1));
        connects.add(server(2));
        let latest = |port| connects.latest(Some(server(port)));
        let (first, second, any) = (latest(1), latest(2), connects.latest(None));
        assert_ne!(first, second);
        connects.add(server(1));
        assert_ne!(latest(1), first);
        assert_eq!(latest(2), second);
        assert_ne!(connects.latest(None), any);
    }

    #[test]
    fn r10_servers_without_end_fill_nothing_and_none_seems_to_be_as_it_was() {
        let connects = Connects::default();
        connects.add(server(0));
        let before = connects.latest(Some(server(0)));
        for port in 1..5_000 {
            connects.add(server(port));
        }
        assert!(connects.0.lock().unwrap().of.len() <= MOST);
        connects.add(server(0));
        assert_ne!(connects.latest(Some(server(0))), before);
    }
}
