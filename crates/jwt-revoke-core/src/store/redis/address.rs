//! Addresses: `redis://`, `redis-cluster://`, `redis-sentinel://`, each with a twin for TLS.

use url::Url;

use crate::store::{
    StoreError,
    redis::client::{Sentinels, Server, Target},
};

/// An address, taken apart.
#[derive(Clone)]
pub(super) struct Address {
    /// For people: without credentials.
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<u8>,
    /// Whether to speak the third version of the protocol.
    pub(super) resp3: bool,
    #[cfg(feature = "redis-rustls")]
    pub(super) tls: bool,
}

/// Whether an address with this scheme is for this store.
pub(in crate::store) fn is_redis(scheme: &str) -> bool {
    kind(scheme).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standalone,
    Cluster,
    Sentinel,
}

fn kind(scheme: &str) -> Option<(Kind, bool)> {
    let (base, kind) = match scheme.split_once('-') {
        None => (scheme, Kind::Standalone),
        Some((base, "cluster")) => (base, Kind::Cluster),
        Some((base, "sentinel")) => (base, Kind::Sentinel),
        Some(_) => return None,
    };
    match base {
        "redis" | "valkey" => Some((kind, false)),
        "rediss" | "valkeys" => Some((kind, true)),
        _ => None,
    }
}

impl Address {
    /// Takes an address apart. Errors repeat nothing of it but scheme, host and port.
    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let unnamed = |reason: &str| refuse(&format!("{scheme:.20}:.."), reason);
        let url = Url::parse(text).map_err(|error| unnamed(&error.to_string()))?;
        let (kind, tls) = kind(url.scheme()).ok_or_else(|| unnamed("not a scheme of Redis"))?;
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(unnamed("the host is missing"));
        };
        let port = url.port().unwrap_or(match kind {
            Kind::Sentinel => 26_379,
            Kind::Standalone | Kind::Cluster => 6_379,
        });
        let mut name = format!("{}://{host}:{port}", url.scheme());
        let refuse = |reason: &str| refuse(&name, reason);
        if tls && !cfg!(feature = "redis-rustls") {
            return Err(refuse(
                "this build has no TLS to Redis (feature redis-rustls)",
            ));
        }
        if url.fragment().is_some() {
            return Err(refuse("a part behind # has no meaning; escape it as %23"));
        }
        let database =
            database(&url).ok_or_else(|| refuse("the path must be a database number"))?;
        if kind == Kind::Cluster && database.is_some_and(|number| number != 0) {
            return Err(refuse("a Cluster has only database 0"));
        }
        let username =
            decode(url.username()).ok_or_else(|| refuse("the user name is malformed"))?;
        let password = decode(url.password().unwrap_or_default())
            .ok_or_else(|| refuse("the password is malformed"))?;
        if username.is_some() && password.is_none() {
            return Err(refuse(
                "a user name without a password; a password alone is written as :password@",
            ));
        }
        let query = Query::parse(&url, kind).map_err(|reason| refuse(&reason))?;
        let resp3 = query.resp3;
        let mut hosts = vec![server(host, port)];
        hosts.extend(query.nodes);
        let target = match kind {
            Kind::Standalone => Target::One(hosts.swap_remove(0)),
            Kind::Cluster => Target::Cluster(hosts),
            Kind::Sentinel => Target::Sentinels(Sentinels {
                hosts,
                service: query.service.ok_or_else(|| {
                    refuse("name the group of servers that the sentinels watch: ?service=NAME")
                })?,
                username: query.username,
                password: query.password,
            }),
        };
        if let Some(number) = database {
            name.push_str(&format!("/{number}"));
        }
        Ok(Self {
            name,
            target,
            username,
            password,
            database,
            resp3,
            #[cfg(feature = "redis-rustls")]
            tls,
        })
    }

    /// Whether keys are spread over several servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }
}

#[derive(Default)]
struct Query {
    nodes: Vec<Server>,
    service: Option<String>,
    username: Option<String>,
    password: Option<String>,
    resp3: bool,
}

impl Query {
    fn parse(url: &Url, kind: Kind) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in url.query_pairs() {
            let sentinel = kind == Kind::Sentinel;
            match &*name {
                "node" if kind != Kind::Standalone => {
                    let node = value
                        .rsplit_once(':')
                        .and_then(|(host, port)| Some(server(host, port.parse().ok()?)));
                    query.nodes.push(node.ok_or("node must be HOST:PORT")?);
                }
                "service" | "sentinelServiceName" if sentinel => {
                    query.service = Some(value.into_owned());
                }
                "sentinelUsername" if sentinel => query.username = Some(value.into_owned()),
                "sentinelPassword" if sentinel => query.password = Some(value.into_owned()),
                "protocol" => {
                    query.resp3 = match &*value {
                        "2" | "resp2" => false,
                        "3" | "resp3" => true,
                        _ => return Err("protocol must be 2 or 3".to_owned()),
                    };
                }
                // Not repeated: it may be part of a password that was not escaped.
                _ => return Err("there is a parameter behind ? that is not known".to_owned()),
            }
        }
        Ok(query)
    }
}

fn database(url: &Url) -> Option<Option<u8>> {
    match url.path().trim_start_matches('/') {
        "" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn server(host: &str, port: u16) -> Server {
    Server::new(host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// Undoes `%xx`. `Some(None)` for an empty text, `None` for one that is malformed.
fn decode(text: &str) -> Option<Option<String>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    Some((!text.is_empty()).then_some(text))
}

fn refuse(address: &str, reason: &str) -> StoreError {
    StoreError::Address {
        address: address.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match Address::parse(text) {
            Ok(address) => panic!("{} was taken", address.name),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_named() {
        let address = Address::parse("redis://us%40er:p%3Ass@h:7000/2").unwrap();
        assert_eq!(address.name, "redis://h:7000/2");
        assert_eq!(address.username.as_deref(), Some("us@er"));
        assert_eq!(address.password.as_deref(), Some("p:ss"));
        assert_eq!(address.database, Some(2));
        for bad in [
            "redis://u:hunter2@h:99999",
            "redis://u:hunter2@h/x",
            "redis://u:hunter2@h#x",
            "redis://h/?hunter2=hunter2",
            "redis-cluster://u:hunter2@h/3",
            "redis-sentinel://u:hunter2@h",
        ] {
            let reason = reason(bad);
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn further_nodes_and_the_service_come_from_the_query() {
        let address =
            Address::parse("redis-sentinel://:pw@a/1?node=b:2&node=[::1]:3&service=main").unwrap();
        let Target::Sentinels(Sentinels { hosts, service, .. }) = address.target else {
            panic!("no sentinel");
        };
        assert_eq!(service, "main");
        let hosts: Vec<_> = hosts.iter().map(|h| (&*h.host, h.port)).collect();
        assert_eq!(hosts, [("a", 26_379), ("b", 2), ("::1", 3)]);
    }

    #[test]
    fn the_version_of_the_protocol_comes_from_the_query() {
        let resp3 = |text| Address::parse(text).unwrap().resp3;
        assert!(!resp3("redis://h"));
        assert!(!resp3("redis://h?protocol=2") && !resp3("redis://h?protocol=resp2"));
        assert!(resp3("redis://h/1?protocol=3") && resp3("redis-cluster://h?protocol=resp3"));
        assert!(reason("redis://h?protocol=4").contains("2 or 3"));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        assert!(reason("redis://h/?service=x").contains("parameter"));
        assert!(reason("redis://user@h").contains("without a password"));
        assert!(reason("redis-ring://h").contains("scheme"));
        assert!(reason("redis:").contains("host"));
    }

    #[cfg(not(feature = "redis-rustls"))]
    #[test]
    fn tls_that_was_not_built_in_is_an_error() {
        assert!(reason("rediss://h").contains("redis-rustls"));
    }
}
