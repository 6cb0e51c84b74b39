//! What to connect to, and as whom.

use std::fmt;
#[cfg(feature = "redis-rustls")]
use std::net::IpAddr;

#[cfg(feature = "redis-rustls")]
use crate::store::redis::client::tls::Tls;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store::redis) struct Server {
    /// A name, or an IP address without brackets.
    pub(in crate::store::redis) host: String,
    pub(in crate::store::redis) port: u16,
}

/// Where the data is.
#[derive(Clone)]
pub(in crate::store::redis) enum Target {
    /// On one server.
    One(Server),
    /// On the primary that sentinels name.
    Sentinels(Sentinels),
    /// Spread over a Cluster, of which these nodes are known.
    Cluster(Vec<Server>),
}

/// Sentinels, and the group of servers that they watch.
#[derive(Clone)]
pub(in crate::store::redis) struct Sentinels {
    pub(in crate::store::redis) hosts: Vec<Server>,
    pub(in crate::store::redis) service: String,
    pub(in crate::store::redis) username: Option<String>,
    pub(in crate::store::redis) password: Option<String>,
}

/// All that a connection is made by.
#[derive(Clone)]
pub(in crate::store::redis) struct Config {
    pub(in crate::store::redis) target: Target,
    pub(in crate::store::redis) username: Option<String>,
    pub(in crate::store::redis) password: Option<String>,
    pub(in crate::store::redis) database: Option<u8>,
    pub(in crate::store::redis) resp3: bool,
    #[cfg(feature = "redis-rustls")]
    pub(in crate::store::redis) tls: Option<Tls>,
    /// The name that certificates carry of servers that are known by IP address alone.
    #[cfg(feature = "redis-rustls")]
    pub(in crate::store::redis) known_as: Option<String>,
}

impl Server {
    pub(in crate::store::redis) fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self { host, port }
    }

    /// Reads `host:port`, as servers write it: an IPv6 address has no brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self::new(host, port.parse().ok()?))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Config {
    /// Configuration for one server of the target, with the same credentials.
    pub(in crate::store::redis) fn of_server(&self, server: Server) -> Self {
        Self {
            target: Target::One(server),
            ..self.clone()
        }
    }

    /// The name that the certificate of `server` must carry.
    #[cfg(feature = "redis-rustls")]
    pub(super) fn certified_name<'a>(&'a self, server: &'a Server) -> &'a str {
        let is_address = server.host.parse::<IpAddr>().is_ok();
        let known_as = self.known_as.as_deref().filter(|_| is_address);
        known_as.unwrap_or(&server.host)
    }

    /// Whether connections are encrypted.
    pub(super) fn has_tls(&self) -> bool {
        #[cfg(feature = "redis-rustls")]
        return self.tls.is_some();
        #[cfg(not(feature = "redis-rustls"))]
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_servers_write_it() {
        let read = |text| Server::parse(text).map(|server| server.to_string());
        assert_eq!(read("127.0.0.1:7000").as_deref(), Some("127.0.0.1:7000"));
        assert_eq!(read("::1:7000").as_deref(), Some("[::1]:7000"));
        assert_eq!(read("node-1:70000"), None);
        assert_eq!(read("node-1"), None);
    }

    #[cfg(feature = "redis-rustls")]
    #[test]
    fn a_certificate_names_the_host_or_what_an_address_is_known_as() {
        let config = Config {
            target: Target::Cluster(Vec::new()),
            username: None,
            password: None,
            database: None,
            resp3: false,
            tls: None,
            known_as: Some("cluster.example.com".to_owned()),
        };
        let name = |host| {
            let server = Server::new(host, 1);
            config.certified_name(&server).to_owned()
        };
        assert_eq!(name("10.0.0.2"), "cluster.example.com");
        assert_eq!(name("node-2.example.com"), "node-2.example.com");
    }
}
