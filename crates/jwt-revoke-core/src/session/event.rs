//! What happened to sessions, for alarms and counts.

use crate::{
    clock::Timestamp,
    session::ReuseScope,
    token::{ClientId, SessionId, Subject},
};

/// Something that happened to the sessions of a user.
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
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A login opened the session.
    SessionOpened,
    /// The session ended.
    SessionEnded(Cause),
    /// Everything the user held up to this instant ended.
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
