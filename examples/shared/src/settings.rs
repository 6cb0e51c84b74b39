//! Settings from `JWT_REVOKE_*` variables.

use std::{
    collections::HashMap, env, ffi::OsString, fmt::Display, net::SocketAddr, ops::RangeInclusive,
    path::PathBuf, str::FromStr, time::Duration,
};

use jwt_revoke_core::{
    defaults,
    guard::{Consistency, Outage},
    session::ReuseScope,
    verify::Algorithm,
};

/// The settings of an example program.
#[derive(Clone)]
pub struct Settings {
    /// `JWT_REVOKE_ADDR`: where to listen; port 0 picks a free one.
    pub addr: SocketAddr,
    /// `JWT_REVOKE_STORE`: the address of the store. May hold a password: do not print it.
    pub store: String,
    /// `JWT_REVOKE_KEY`: the key file, made when missing. Processes that share it share a key.
    pub key: PathBuf,
    /// `JWT_REVOKE_ALG`: the algorithm of a key that is made.
    pub algorithm: Algorithm,
    /// `JWT_REVOKE_CONSISTENCY`: `mirror:MILLISECONDS`, how old the copy of the store may be by which a token
    /// is judged, `strict`, or `fenced`.
    pub consistency: Consistency,
    /// `JWT_REVOKE_ISSUER`: who issues the tokens, and where OAuth clients reach the program. Tokens
    /// of another issuer are not accepted.
    pub issuer: String,
    /// `JWT_REVOKE_CLIENT_SECRET`: the secret of the OAuth client `api`. Do not print it. The default
    /// is for trying things out, as the users and their passwords are.
    pub client_secret: String,
    /// `JWT_REVOKE_OUTAGE`: `deny` or `allow`.
    pub outage: Outage,
    /// `JWT_REVOKE_GRACE`: seconds in which a spent refresh token gets its successor again.
    pub grace: Duration,
    /// `JWT_REVOKE_REUSE`: `user`, `session` or `refuse`; what ends when a spent one comes back.
    pub reuse: ReuseScope,
    /// `JWT_REVOKE_ACCESS_TTL`: seconds that an access token lives.
    pub access_lifetime: Duration,
    /// `JWT_REVOKE_REFRESH_TTL`: seconds that a refresh token lives, and a session that is not used.
    pub refresh_lifetime: Duration,
    /// `JWT_REVOKE_LEEWAY`: seconds of slack on `exp`.
    pub leeway: Duration,
    /// `JWT_REVOKE_DRAIN`: seconds that the requests at hand may take when the program is asked to stop.
    pub drain: Duration,
    /// `JWT_REVOKE_RESTORED`: `1` for one start, of one process, after the store was restored from a backup. Every
    /// token from before that is refused.
    pub restored: bool,
}

/// A variable that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct SettingsError {
    variable: Box<str>,
    reason: String,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// Names the first variable that cannot be understood, and what it may hold.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(env::vars_os())
    }

    fn from_variables(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let mut set = HashMap::new();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| is_setting(name)) else {
                continue;
            };
            let Some(variable) = VARIABLES.into_iter().find(|known| *known == name) else {
                return Err(unknown(name));
            };
            let value = value.into_string().map_err(|_| SettingsError {
                variable: variable.into(),
                reason: "its value is not UTF-8".to_owned(),
            })?;
            set.insert(variable, value);
        }
        Self::from_lookup(|name| {
            debug_assert!(VARIABLES.contains(&name), "{name}");
            set.get(name).cloned()
        })
    }

    fn from_lookup(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingsError> {
        let text = |name, default: &str| lookup(name).unwrap_or_else(|| default.to_owned());
        let seconds = |name, default: Duration, range: RangeInclusive<u64>| {
            let Some(value) = lookup(name) else {
                return Ok(default);
            };
            let seconds = parse(name, &value, "whole seconds")?;
            if range.contains(&seconds) {
                return Ok(Duration::from_secs(seconds));
            }
            let (least, most) = range.into_inner();
            Err(SettingsError {
                variable: name.into(),
                reason: format!("{seconds} s is not between {least} and {most}"),
            })
        };
        let addr = text("JWT_REVOKE_ADDR", "127.0.0.1:3000");
        let algorithm = text("JWT_REVOKE_ALG", "EdDSA");
        let outage = text("JWT_REVOKE_OUTAGE", "deny");
        let reuse = text("JWT_REVOKE_REUSE", "user");
        let consistency = text("JWT_REVOKE_CONSISTENCY", "mirror:1000");
        let restored = text("JWT_REVOKE_RESTORED", "0");
        Ok(Self {
            addr: parse(
                "JWT_REVOKE_ADDR",
                &addr,
                "an address such as 127.0.0.1:3000",
            )?,
            store: text("JWT_REVOKE_STORE", "file:jwt-revoke-data"),
            key: text("JWT_REVOKE_KEY", "jwt-revoke-data/key").into(),
            algorithm: parse("JWT_REVOKE_ALG", &algorithm, "EdDSA, ES256, RS256 or HS256")?,
            consistency: consistency_of(&consistency).ok_or_else(|| SettingsError {
                variable: "JWT_REVOKE_CONSISTENCY".into(),
                reason: format!(
                    "{consistency:?} is neither strict, nor fenced, nor mirror: and at least {} milliseconds",
                    defaults::SHORTEST_STALENESS.as_millis()
                ),
            })?,
            issuer: text("JWT_REVOKE_ISSUER", "https://auth.example.com"),
            client_secret: text("JWT_REVOKE_CLIENT_SECRET", DEMO_CLIENT_SECRET),
            outage: match outage.as_str() {
                "deny" => Outage::Deny,
                "allow" => Outage::Allow,
                other => {
                    return Err(SettingsError {
                        variable: "JWT_REVOKE_OUTAGE".into(),
                        reason: format!("{other:?} is neither deny nor allow"),
                    });
                }
            },
            grace: seconds(
                "JWT_REVOKE_GRACE",
                defaults::GRACE,
                0..=defaults::SESSION_LIFETIME.as_secs(),
            )?,
            reuse: match reuse.as_str() {
                "user" => ReuseScope::User,
                "session" => ReuseScope::Session,
                "refuse" => ReuseScope::Refuse,
                other => {
                    return Err(SettingsError {
                        variable: "JWT_REVOKE_REUSE".into(),
                        reason: format!("{other:?} is neither user, session nor refuse"),
                    });
                }
            },
            access_lifetime: seconds(
                "JWT_REVOKE_ACCESS_TTL",
                defaults::ACCESS_LIFETIME,
                1..=defaults::MAX_TOKEN_LIFETIME.as_secs(),
            )?,
            refresh_lifetime: seconds(
                "JWT_REVOKE_REFRESH_TTL",
                defaults::REFRESH_LIFETIME,
                1..=defaults::SESSION_LIFETIME.as_secs(),
            )?,
            leeway: seconds(
                "JWT_REVOKE_LEEWAY",
                defaults::LEEWAY,
                0..=defaults::MAX_LEEWAY.as_secs(),
            )?,
            drain: seconds("JWT_REVOKE_DRAIN", DRAIN, 0..=3600)?,
            restored: match restored.as_str() {
                "0" => false,
                "1" => true,
                other => {
                    return Err(SettingsError {
                        variable: "JWT_REVOKE_RESTORED".into(),
                        reason: format!("{other:?} is neither 0 nor 1"),
                    });
                }
            },
        })
    }
}

fn consistency_of(text: &str) -> Option<Consistency> {
    match text {
        "strict" => return Some(Consistency::Strict),
        "fenced" => return Some(Consistency::Fenced),
        _ => {}
    }
    let staleness = text.strip_prefix("mirror:")?.parse().ok()?;
    let staleness = Duration::from_millis(staleness);
    (staleness >= defaults::SHORTEST_STALENESS).then(|| Consistency::mirror(staleness))
}

fn parse<T>(variable: &'static str, value: &str, wanted: &str) -> Result<T, SettingsError>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|error| SettingsError {
        variable: variable.into(),
        reason: format!("{value:?} is not {wanted}: {error}"),
    })
}

/// Whether a variable is meant for the program. Kubernetes makes variables of its own for a service
/// that is called `jwt-revoke`.
fn is_setting(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("JWT_REVOKE_") else {
        return false;
    };
    let is_of_kubernetes =
        rest == "PORT" || ["PORT_", "SERVICE_"].iter().any(|p| rest.starts_with(p));
    !is_of_kubernetes
}

/// A variable that means nothing is a typing error, and what it was meant to set would stay as it is.
fn unknown(name: &str) -> SettingsError {
    SettingsError {
        variable: name.into(),
        reason: format!(
            "there is no such setting; there are {}",
            VARIABLES.join(", ")
        ),
    }
}

/// All settings.
const VARIABLES: [&str; 15] = [
    "JWT_REVOKE_ACCESS_TTL",
    "JWT_REVOKE_ADDR",
    "JWT_REVOKE_ALG",
    "JWT_REVOKE_CLIENT_SECRET",
    "JWT_REVOKE_CONSISTENCY",
    "JWT_REVOKE_DRAIN",
    "JWT_REVOKE_GRACE",
    "JWT_REVOKE_ISSUER",
    "JWT_REVOKE_KEY",
    "JWT_REVOKE_LEEWAY",
    "JWT_REVOKE_OUTAGE",
    "JWT_REVOKE_REFRESH_TTL",
    "JWT_REVOKE_RESTORED",
    "JWT_REVOKE_REUSE",
    "JWT_REVOKE_STORE",
];

/// How long requests at hand may take when the program stops, unless set.
const DRAIN: Duration = Duration::from_secs(10);

/// For the curl lines. Everybody knows it.
const DEMO_CLIENT_SECRET: &str = "kT9xQ2mZr7Vb4LwYc6NdHs8PfJg3EuAo";

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Settings, SettingsError> {
        Settings::from_variables([(name.into(), value.into())])
    }

    #[test]
    fn a_variable_that_means_nothing_is_an_error() {
        for name in [
            "JWT_REVOKE_ISUER",
            "JWT_REVOKE_",
            "JWT_REVOKE_Addr",
            "JWT_REVOKE_PORTS",
        ] {
            let error = with(name, "x").err().unwrap().to_string();
            assert!(error.starts_with(name), "{error}");
            assert!(error.contains("JWT_REVOKE_ISSUER"), "{error}");
        }
        for name in [
            "JWT_REVOKE",
            "MY_JWT_REVOKE_ADDR",
            "JWT_REVOKE_PORT",
            "JWT_REVOKE_PORT_3000_TCP_ADDR",
            "JWT_REVOKE_SERVICE_HOST",
        ] {
            assert!(with(name, "x").is_ok(), "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(b"allow\xff".to_vec());
        let error = Settings::from_variables([("JWT_REVOKE_OUTAGE".into(), value)]);
        assert!(
            error
                .err()
                .unwrap()
                .to_string()
                .starts_with("JWT_REVOKE_OUTAGE")
        );
    }

    #[test]
    fn without_variables_it_is_an_embedded_store_on_port_3000() {
        let settings = with("", "").unwrap();
        assert_eq!(settings.addr.to_string(), "127.0.0.1:3000");
        assert_eq!(settings.store, "file:jwt-revoke-data");
        assert_eq!(settings.access_lifetime, Duration::from_secs(900));
        assert_eq!(settings.refresh_lifetime, Duration::from_secs(604_800));
        assert_eq!(settings.grace, Duration::from_secs(30));
        assert_eq!(settings.reuse, ReuseScope::User);
        assert_eq!(settings.drain, Duration::from_secs(10));
        assert_eq!(settings.outage, Outage::Deny);
        assert!(!settings.restored);
        assert_eq!(settings.consistency, Consistency::default());
        for (value, consistency) in [
            ("strict", Consistency::Strict),
            ("fenced", Consistency::Fenced),
            (
                "mirror:250",
                Consistency::mirror(Duration::from_millis(250)),
            ),
        ] {
            let settings = with("JWT_REVOKE_CONSISTENCY", value).unwrap();
            assert_eq!(settings.consistency, consistency);
        }
    }

    #[test]
    fn a_value_that_cannot_be_understood_is_an_error_and_not_the_default() {
        for (name, value) in [
            ("JWT_REVOKE_ADDR", "localhost"),
            ("JWT_REVOKE_ALG", "none"),
            ("JWT_REVOKE_OUTAGE", "perhaps"),
            ("JWT_REVOKE_CONSISTENCY", "eventual"),
            ("JWT_REVOKE_ACCESS_TTL", "15m"),
            ("JWT_REVOKE_ACCESS_TTL", "0"),
            ("JWT_REVOKE_ACCESS_TTL", "86401"),
            ("JWT_REVOKE_REFRESH_TTL", "7d"),
            ("JWT_REVOKE_GRACE", "0.5"),
            ("JWT_REVOKE_REUSE", "all"),
            ("JWT_REVOKE_LEEWAY", "-1"),
            ("JWT_REVOKE_LEEWAY", "301"),
            ("JWT_REVOKE_DRAIN", "10s"),
            ("JWT_REVOKE_DRAIN", "3601"),
            ("JWT_REVOKE_RESTORED", "yes"),
        ] {
            let error = with(name, value).err().unwrap();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}
