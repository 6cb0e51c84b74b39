//! What a command can fail with, and what that means to a caller.

use std::time::Duration;

use crate::store::{StoreError, WriteRefusal};

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer within the bound. A write may or may not have happened.
    TimedOut(Duration),
    /// No connection, or it broke. A write may or may not have happened.
    Unreachable(String),
    /// The server's own words.
    Refused(String),
    /// An answer of an unexpected shape.
    Odd(String),
}

/// What the command was for: the same words of a server mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

impl Failure {
    /// An answer that no version of the server gives.
    pub(super) fn odd(what: impl Into<String>) -> Self {
        Self::Odd(what.into())
    }

    /// Whether the server does not know a command, or does not let this user send it.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(words)
            if code(words) == "NOPERM" || words.contains("unknown command"))
    }

    /// Whether the server may answer when asked again.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::Unreachable(_) => true,
            Self::Refused(words) => is_transient_code(code(words)),
            Self::Odd(_) => false,
        }
    }

    /// Whether the server has forgotten a script, or never knew it.
    pub(super) fn is_no_script(&self) -> bool {
        matches!(self, Self::Refused(words) if code(words) == "NOSCRIPT")
    }

    /// Whether a key holds another type than the command is for.
    pub(super) fn is_wrong_type(&self) -> bool {
        matches!(self, Self::Refused(words) if code(words) == "WRONGTYPE")
    }

    /// Whether a primary has no room for more, in memory or on its disk.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Refused(words) if matches!(code(words), "OOM" | "MISCONF"))
    }

    /// Whether the server is a replica, so that the client holds on to a primary that was demoted.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::Refused(words) if code(words) == "READONLY")
    }

    /// Whether a primary has lost its replicas, so that another may have taken its place.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::Refused(words) if code(words) == "NOREPLICAS")
    }

    /// The error for callers. `store` names the store without credentials.
    pub(super) fn into_error(self, store: &str, purpose: Purpose) -> StoreError {
        let store = store.to_owned();
        match self {
            Self::TimedOut(bound) => StoreError::TimedOut { store, bound },
            Self::Unreachable(reason) => StoreError::Unreachable {
                store,
                source: reason.into(),
            },
            Self::Refused(words) => refused(store, words, purpose),
            Self::Odd(reason) => StoreError::Failed { store, reason },
        }
    }
}

fn refused(store: String, words: String, purpose: Purpose) -> StoreError {
    let refusal = match code(&words) {
        transient if is_transient_code(transient) => {
            return StoreError::Unreachable {
                store,
                source: words.into(),
            };
        }
        "OOM" => WriteRefusal::OutOfMemory,
        "READONLY" => WriteRefusal::ReadOnly,
        "NOREPLICAS" => WriteRefusal::TooFewReplicas,
        "MISCONF" => WriteRefusal::CannotPersist(words.clone()),
        _ if is_login(&words) => WriteRefusal::Unauthenticated(words.clone()),
        "NOPERM" => WriteRefusal::NoPermission(words.clone()),
        _ => {
            return StoreError::Failed {
                store,
                reason: words,
            };
        }
    };
    match purpose {
        Purpose::Write => StoreError::WriteRefused { store, refusal },
        Purpose::Read => StoreError::ReadRefused {
            store,
            reason: match refusal {
                WriteRefusal::Unauthenticated(_) => format!("authentication failed: {words}"),
                _ => words,
            },
        },
    }
}

/// Words of a server about a login: refused, missing, or with a password that it does not know of.
fn is_login(words: &str) -> bool {
    matches!(code(words), "NOAUTH" | "WRONGPASS")
        || words.starts_with("ERR AUTH")
        || words.starts_with("ERR invalid password")
}

/// Codes of a server that is coming up, failing over, or moving slots.
fn is_transient_code(code: &str) -> bool {
    matches!(
        code,
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "UNBLOCKED"
    )
}

/// The first word of a server's error. Before Redis 7 the code of a command that failed inside a
/// script stands behind a dash in the middle of an `ERR`; missing permissions there have no code.
fn code(words: &str) -> &str {
    if words.contains("The user executing the script can't") {
        return "NOPERM";
    }
    let first = |text: &str| text.split_whitespace().next().unwrap_or("").len();
    if let Some((_, inner)) = words.split_once(": -")
        && words.starts_with("ERR")
    {
        return &inner[..first(inner)];
    }
    &words[..first(words)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(words: &str, purpose: Purpose) -> StoreError {
        Failure::Refused(words.to_owned()).into_error("redis://h", purpose)
    }

    #[test]
    fn r2_a_refusal_inside_a_script_of_an_old_server_is_recognised() {
        let words = "ERR Error running script (call to f_ab): @user_script:12: @user_script: 12: \
                     -OOM command not allowed when used memory > 'maxmemory'.";
        assert!(matches!(
            error(words, Purpose::Write),
            StoreError::WriteRefused {
                refusal: WriteRefusal::OutOfMemory,
                ..
            }
        ));
    }

    #[test]
    fn r3_a_server_that_is_loading_is_unreachable_and_asked_again() {
        let words = "LOADING Redis is loading the dataset in memory";
        assert!(Failure::Refused(words.to_owned()).is_transient());
        assert!(matches!(
            error(words, Purpose::Read),
            StoreError::Unreachable { .. }
        ));
    }

    #[test]
    fn r68_a_login_that_is_refused_is_called_so() {
        for words in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "ERR AUTH <password> called without any password configured for the default user.",
        ] {
            let read = error(words, Purpose::Read).to_string();
            let said = format!("redis://h refuses reads: authentication failed: {words}");
            assert_eq!(read, said);
            let written = error(words, Purpose::Write).to_string();
            assert!(written.contains("authentication failed"), "{written}");
        }
        let denied = error("NOPERM this user has no permissions", Purpose::Write);
        assert!(denied.to_string().contains("no permission"), "{denied}");
    }

    #[test]
    fn r3_words_that_nobody_has_foreseen_are_an_error_all_the_same() {
        for words in ["", " ", "ERR", "ERR: -", "\u{fffd}"] {
            assert!(matches!(
                error(words, Purpose::Read),
                StoreError::Failed { .. }
            ));
        }
    }
}
