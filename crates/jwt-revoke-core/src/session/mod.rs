//! What a login opens and a logout closes.

mod date;
mod end;
mod event;
mod grant;
mod hook;
mod inspect;
mod issue;
mod login;
mod policy;
mod record;
mod refresh;
mod revoke_all;
mod rotate;
mod sessions;
mod sign;

pub(crate) use self::refresh::Wanted;
pub use self::{
    end::{EndError, SessionInfo},
    event::{Cause, Event, EventKind, EventSink},
    grant::{Grant, GrantError},
    hook::{RefreshHook, Refreshing, Welcome},
    inspect::Inspected,
    issue::{IssueError, Issued, Issuer},
    login::{LoginAttempt, LoginError, Pair},
    policy::{Policy, ReuseScope, SessionCap, WhenFull},
    record::{AttemptId, Identity, Record, SPENDS},
    refresh::RefreshError,
    revoke_all::{RevokeAll, RevokedAll},
    rotate::{Effect, Outcome, Presented, Proposal, rotate},
    sessions::Sessions,
};
