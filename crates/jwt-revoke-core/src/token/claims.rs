//! Registered claims, typed; the application's own are read later, into a type of its choice.

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{
    clock::Timestamp,
    token::{ClientId, Jti, SessionId, Subject},
};

/// The claims this crate gives a meaning to (RFC 7519 §4.1, RFC 9068 §2.2), as a verified token
/// has them. A claim that the token lacks is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Registered {
    /// `iss`: who made the token.
    pub issuer: Option<Box<str>>,
    /// `sub`: who it is about.
    pub subject: Option<Subject>,
    /// `aud`: who it is for.
    pub audience: Vec<Box<str>>,
    /// `exp`: when it lapses. A fraction of a second counts as a whole one.
    pub expires_at: Timestamp,
    /// `nbf`: when it begins to be valid, a fraction rounded up to the millisecond.
    pub not_before: Option<Timestamp>,
    /// `iat`: when it was made; the start of that second where the token gives whole seconds.
    pub issued_at: Option<Timestamp>,
    /// `jti`: the token's own identifier.
    pub jti: Option<Jti>,
    /// `sid`: the session it belongs to.
    pub session: Option<SessionId>,
    /// `client_id`: the OAuth client it was issued to (RFC 8693 §4.3).
    pub client_id: Option<ClientId>,
    /// `azp`: the party it was issued to (OpenID Connect Core 1.0 §2).
    pub authorized_party: Option<ClientId>,
    /// `scope`: what it may be used for (RFC 8693 §4.2).
    pub scope: Scope,
}

impl Registered {
    /// The length of each block on the heap; a cache of tokens must not be larger than it says.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = usize> {
        let texts = [
            self.issuer.as_deref(),
            self.subject.as_ref().map(Subject::as_str),
            self.jti.as_ref().map(Jti::as_str),
            self.session.as_ref().map(SessionId::as_str),
            self.client_id.as_ref().map(ClientId::as_str),
            self.authorized_party.as_ref().map(ClientId::as_str),
            Some(self.scope.as_str()),
        ];
        let audience = self.audience.iter().map(|audience| audience.len());
        let list = self.audience.capacity() * size_of::<Box<str>>();
        let texts = texts.into_iter().flatten().map(str::len);
        texts.chain(audience).chain([list])
    }
}

/// A set of scope tokens (RFC 6749 §3.3), parted by single spaces on the wire. The order is kept; a
/// token that is repeated counts once, and is written once.
///
/// ```
/// use jwt_revoke_core::token::Scope;
///
/// let scope: Scope = "read write".parse()?;
/// assert!(scope.contains("read") && !scope.contains("rea"));
/// assert_eq!(Scope::parse("read  write"), None);
/// # Ok::<_, jwt_revoke_core::token::InvalidScope>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(Box<str>);

impl Scope {
    /// Reads a `scope` value; `None` if it is not a list of `scope-token`s. The empty text is the
    /// empty set. Repetitions are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let token_ok = |token: &str| {
            !token.is_empty()
                && token
                    .bytes()
                    .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        if text.is_empty() {
            return Some(Self::default());
        }
        if !text.split(' ').all(token_ok) {
            return None;
        }
        if !repeats(text) {
            return Some(Self(text.into()));
        }
        let mut seen = HashSet::new();
        let once: Vec<&str> = text
            .split(' ')
            .filter(|token| seen.insert(*token))
            .collect();
        Some(Self(once.join(" ").into()))
    }

    /// Whether `token` is one of the list.
    pub fn contains(&self, token: &str) -> bool {
        self.iter().any(|own| own == token)
    }

    /// Whether all of `wanted` are in the list.
    pub fn covers(&self, wanted: &Self) -> bool {
        wanted.iter().all(|token| self.contains(token))
    }

    /// The scope tokens in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|token| !token.is_empty())
    }

    /// The list as it stands in a token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no scope token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns true if a scope token occurs twice. Usual scopes are short, and cost no allocation.
fn repeats(text: &str) -> bool {
    const FEW: usize = 16;
    if text.split(' ').count() > FEW {
        let mut seen = HashSet::new();
        return !text.split(' ').all(|token| seen.insert(token));
    }
    let mut tokens = text.split(' ');
    while let Some(token) = tokens.next() {
        if tokens.clone().any(|later| later == token) {
            return true;
        }
    }
    false
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::parse(text).ok_or(InvalidScope(()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a list of scope tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: printable ascii without quotes and backslashes, parted by single spaces")]
pub struct InvalidScope(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_with_stray_bytes_is_not_a_scope() {
        for text in [" ", "a ", " a", "a  b", "a\"b", "a\\b", "a\nb", "é"] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
        assert!(Scope::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_scope_token_that_is_repeated_counts_once_and_the_order_is_kept() {
        for (text, once) in [
            ("read read", "read"),
            ("write read write read admin", "write read admin"),
            ("a b ab a b", "a b ab"),
            ("read Read", "read Read"),
        ] {
            assert_eq!(Scope::parse(text).unwrap().as_str(), once, "{text}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
        let many = many.join(" ");
        assert_eq!(Scope::parse(&many).unwrap().as_str(), many);
        let twice = format!("{many} {many}");
        assert_eq!(Scope::parse(&twice).unwrap().as_str(), many);
        let endless = vec!["read"; 1600].join(" ");
        assert_eq!(Scope::parse(&endless).unwrap().as_str(), "read");
    }

    #[test]
    fn a_scope_covers_its_parts_and_nothing_more() {
        let own = Scope::parse("read write").unwrap();
        assert!(own.covers(&Scope::parse("write").unwrap()));
        assert!(own.covers(&Scope::default()));
        assert!(!own.covers(&Scope::parse("write admin").unwrap()));
    }
}
