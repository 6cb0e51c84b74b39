//! Addresses: `redis://`, `redis-cluster://`, `redis-sentinel://`, each with a twin for TLS.

use url::{ParseError, Url};

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
        if kind(scheme).is_some() && has_loose_credentials(text) {
            // What is taken for the host may be the beginning of a password.
            return Err(unnamed(ESCAPE));
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::EmptyHost => unnamed("the host is missing: write SCHEME://HOST:PORT"),
            ParseError::InvalidPort => unnamed("the port must be a number from 1 to 65535"),
            error => unnamed(&error.to_string()),
        })?;
        let (kind, tls) = kind(url.scheme()).ok_or_else(|| unnamed(SCHEMES))?;
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(unnamed("the host is missing: write SCHEME://HOST:PORT"));
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
        if port == 0 {
            return Err(refuse("port 0 is none: leave it out for the usual port"));
        }
        if url.fragment().is_some() {
            return Err(refuse("a part behind # has no meaning; escape it as %23"));
        }
        let database = database(&url)
            .ok_or_else(|| refuse("the path must be the number of a database, 0 to 255"))?;
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
                        .filter(|(host, _)| !host.is_empty())
                        .and_then(|(host, port)| Some(server(host, port.parse().ok()?)))
                        .filter(|node| node.port != 0);
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
                _ => {
                    let known = match kind {
                        Kind::Standalone => "protocol",
                        Kind::Cluster => "protocol and node",
                        Kind::Sentinel => {
                            "protocol, node, service, sentinelUsername and sentinelPassword"
                        }
                    };
                    return Err(format!(
                        "there is a parameter behind ? that is not known (known are {known}); a ? in a \
                         password is written %3F"
                    ));
                }
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

/// Whether there is an `@` behind the first `/`, `?` or `#`, and so perhaps credentials that are not escaped.
/// In the query it may stand, in the password of the sentinels.
fn has_loose_credentials(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let Some((authority, behind)) = rest.split_once(['/', '?', '#']) else {
        return false;
    };
    let Some((before, _)) = behind.split_once('@') else {
        return false;
    };
    // Credentials have come, and what follows is a query.
    let is_query = rest[authority.len()..].starts_with('?') || before.contains('?');
    !(is_query && before.contains("sentinelPassword="))
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

/// How characters are written that would end a password.
const ESCAPE: &str = "a user name or password has one of the characters / ? #, which must be escaped: write \
                      %2F for /, %3F for ?, %23 for #, or give the password by with_password";

/// The schemes that there are.
const SCHEMES: &str = "the scheme is none of redis, redis-cluster, redis-sentinel, or one of them with rediss or \
                       valkey";

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
            // Taken for a host, a port, a path, a query and a fragment, if nothing is done about it.
            "redis://:hunter2/x@h",
            "redis://:hunter2/@h:6379/0",
            "redis://u:hunter2?x@h",
            "redis://u:hunter2#x@h",
            "redis://hunter2:1/x@h",
            "redis-sentinel://hunter2:1?x@h?service=main",
        ] {
            let reason = reason(bad);
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn r69_characters_that_end_a_password_are_named_with_their_escapes() {
        for bad in [
            "redis://:pa/ss@h",
            "redis://u:12/ss@h",
            "redis://:pa?ss@h:6379",
            "redis://u:12#ss@h",
            "rediss-cluster://:/@h?node=i:1",
            "redis-sentinel://:a?b@h?service=main&sentinelPassword=x",
        ] {
            let reason = reason(bad);
            assert!(
                reason.contains("%2F") && reason.contains("with_password"),
                "{reason}"
            );
        }
        let escaped = Address::parse("redis://u:a%2Fb%3Fc%23d%40e@h/1").unwrap();
        assert_eq!(escaped.password.as_deref(), Some("a/b?c#d@e"));
        let theirs = "redis-sentinel://:p@h?service=main&sentinelPassword=a@b";
        let Target::Sentinels(theirs) = Address::parse(theirs).unwrap().target else {
            panic!("no sentinel");
        };
        assert_eq!(theirs.password.as_deref(), Some("a@b"));
    }

    #[test]
    fn r69_what_is_wrong_with_an_address_is_said_with_its_mend() {
        assert!(reason("redis://h:0").contains("port 0"));
        assert!(reason("redis://h:70000").contains("1 to 65535"));
        assert!(reason("redis://h:x").contains("1 to 65535"));
        assert!(reason("redis://").contains("HOST:PORT"));
        assert!(reason("redis://:6379").contains("HOST:PORT"));
        assert!(reason("redis://u:p@:6379").contains("HOST:PORT"));
        assert!(reason("redis-cluster://h?node=:1").contains("HOST:PORT"));
        assert!(reason("redis-cluster://h?node=i:0").contains("HOST:PORT"));
        assert!(reason("redis-cluster://h?nodes=i:1").contains("protocol and node"));
        assert!(reason("redis-sentinel://h?master=main").contains("service"));
        assert!(reason("http://h").contains("redis-cluster"));
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
