//! What happened to sessions, for alarms and counts.

use crate::{
    clock::Timestamp,
    session::ReuseScope,
    token::{ClientId, SessionId, Subject},
};

/// Something that happened to the sessions of a user.
///
/// What ends is reported once, by the call that ended it: a second logout, a token that comes back after its
/// session ended, and a repetition after [`StoreError::Unconfirmed`](crate::store::StoreError::Unconfirmed)
/// report nothing. Under [`ReuseScope::Refuse`] reuse ends nothing and is reported each time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub subject: Subject,
    /// To which session; `None` when it concerns all of the user's.
    pub session: Option<SessionId>,
    /// Through which client, where that is known.
    pub client: Option<ClientId>,
    /// Why, in the words of the caller of [`Sessions::revoke_all`](crate::session::Sessions::revoke_all).
    pub cause: Option<Box<str>>,
    /// Who asked for it, likewise.
    pub actor: Option<Box<str>>,
}

impl Event {
    pub(super) fn new(kind: EventKind, subject: &Subject) -> Self {
        Self {
            kind,
            subject: subject.clone(),
            session: None,
            client: None,
            cause: None,
            actor: None,
        }
    }

    pub(super) fn of_session(self, session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    pub(super) fn of_client(self, client: &ClientId) -> Self {
        Self {
            client: Some(client.clone()),
            ..self
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A login opened the session.
    SessionOpened,
    /// The session ended.
    SessionEnded(Cause),
    /// Everything the user held up to this instant ended. A repetition within
    /// [`REVOKE_ALL_REPEATED`](crate::defaults::REVOKE_ALL_REPEATED) that ends no session that is known
    /// is no event.
    RevokedAll(Timestamp),
    /// A spent refresh token came back: rejected reuse (RFC 9700 §4.14.2). Somebody has a stolen
    /// token, or a client keeps a copy. What ended is the scope.
    ReuseDetected(ReuseScope),
    /// A spent refresh token came back at once, and got its successor again: allowed reuse.
    GraceRetry,
    /// The store had lost a write; the session caught up.
    Recovered,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Its owner logged out.
    Logout,
    /// Its owner, or an administrator, ended it from elsewhere.
    Remote,
    /// Its owner changed the password elsewhere.
    PasswordChanged,
    /// A token of it was revoked (RFC 7009).
    Revocation,
    /// A newer login took its place.
    Evicted,
    /// The application no longer wants its user.
    Unwelcome,
    /// Its line split in a failover of the store.
    Forked,
}

impl Cause {
    /// The word for the audit stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Remote => "ended from elsewhere",
            Self::PasswordChanged => "password changed",
            Self::Revocation => "token revoked",
            Self::Evicted => "too many sessions",
            Self::Unwelcome => "no longer welcome",
            Self::Forked => "forked",
        }
    }
}

/// Where events go: metrics, alarms, mail to the user. Closures implement it.
pub trait EventSink: Send + Sync + 'static {
    /// Takes an event, after it happened. Must not block: it is called on the request path.
    fn record(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> EventSink for F {
    fn record(&self, event: &Event) {
        self(event);
    }
}
