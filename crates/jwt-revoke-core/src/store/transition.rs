//! What is asked of a store about sessions, and what it answers.

use crate::{
    clock::Timestamp,
    meters::Refreshed,
    revocation::{Cutoff, Digest, Shard},
    session::{AttemptId, Outcome, Policy, Presented, Proposal, Record, SessionCap},
    store::{Exception, Lookup, Revoked},
    token::{SessionId, Subject},
};

/// A step in the life of sessions, all of which lie in one shard: one atomic step of the store, of
/// which everything happens or nothing. Repeating one whose answer was lost does no harm.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Transition<'a> {
    /// Opens a session.
    Open(&'a Opening<'a>),
    /// Says what [`Rotate`](Self::Rotate) would, and changes nothing.
    Look(&'a Rotating<'a>),
    /// Exchanges a refresh token: [`session::rotate`](crate::session::rotate) over the record.
    Rotate(&'a Rotating<'a>),
    /// Judges a refresh token whose holder gets no successor: does what [`Rotate`](Self::Rotate) does
    /// with a stolen one, and leaves one that is still good as it is.
    Judge(&'a Rotating<'a>),
    /// Ends one session.
    End(&'a Ending<'a>),
    /// Ends all sessions of a user but one, those without a record included.
    EndOthers(&'a EndingOthers<'a>),
    /// Ends all sessions of a user, those without a record included.
    EndAll(&'a EndingAll<'a>),
    /// Lists the sessions of a user.
    List(&'a Index<'a>),
    /// Marks that a user's privileges changed now, in all of the user's sessions.
    MarkPrivileges(&'a Index<'a>),
}

impl Transition<'_> {
    /// What kind of step it is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Look(_) => "look",
            Self::Rotate(_) => "rotate",
            Self::Judge(_) => "judge",
            Self::End(_) => "end",
            Self::EndOthers(_) => "end_others",
            Self::EndAll(_) => "end_all",
            Self::List(_) => "list",
            Self::MarkPrivileges(_) => "mark_privileges",
        }
    }

    /// Where its sessions lie.
    pub(crate) fn shard(&self) -> Shard {
        match self {
            Self::Open(opening) => opening.index.shard,
            Self::Look(rotating) | Self::Rotate(rotating) | Self::Judge(rotating) => {
                rotating.index.shard
            }
            Self::End(ending) => ending.index.shard,
            Self::EndOthers(ending) => ending.index.shard,
            Self::EndAll(ending) => ending.index.shard,
            Self::List(index) | Self::MarkPrivileges(index) => index.shard,
        }
    }
}

/// What a [`Transition`] answers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transitioned {
    /// To [`Transition::Open`].
    Opened(Opened),
    /// To [`Transition::Look`], [`Transition::Rotate`] and [`Transition::Judge`].
    Rotated(Outcome),
    /// To [`Transition::End`] and [`Transition::EndOthers`]: the sessions that ended in this step. Each
    /// session is in one such answer.
    Ended(Vec<SessionId>),
    /// To [`Transition::End`]: the same owner ended the session a moment ago. Nothing changed.
    EndedBefore,
    /// To [`Transition::EndOthers`]: the session that was to stay has ended itself. Nothing changed.
    Covered,
    /// To [`Transition::EndAll`].
    EndedAll(EndedAll),
    /// To [`Store::revoke`](crate::store::Store::revoke), where it is told beside an error.
    Revoked(Revoked),
    /// To [`Transition::List`]: the sessions with a record that have not expired, the oldest first.
    /// A record may be covered by a cutoff: the store compares nothing here.
    Listed(Vec<(SessionId, Record)>),
    /// To [`Transition::MarkPrivileges`].
    Marked,
}

impl Transitioned {
    /// What became of the step.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Opened(opened) => match opened {
                Opened::Opened(_) => "opened",
                Opened::Stale => "stale",
                Opened::Revoked(_) => "revoked",
                Opened::OpenAt(_) => "open_at",
                Opened::Full => "full",
            },
            Self::Rotated(outcome) => Refreshed::from(outcome).as_str(),
            Self::Ended(_) => "ended",
            Self::EndedBefore => "ended_before",
            Self::Covered => "covered",
            Self::EndedAll(_) => "ended_all",
            Self::Revoked(_) => "revoked",
            Self::Listed(_) => "listed",
            Self::Marked => "marked",
        }
    }
}

/// The sessions of a user: which index, in which shard.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    /// Where all of it lies.
    pub shard: Shard,
    /// The digest of the user in the dimension `subject`, which names the index and the cutoff.
    pub subject: Digest,
    /// The digest of the user in the dimension `other_sessions`.
    pub others: Digest,
    /// For the audit stream: at which issuer.
    pub issuer: &'a str,
}

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The user's sessions.
    pub index: Index<'a>,
    /// Its identifier, whose instant is `record.opened_at`.
    pub session: &'a SessionId,
    /// Its record, dated from `record.opened_at` on.
    pub record: &'a Record,
    /// The digests of everything that can cover it: subject, `other_sessions`, client, issuer, key, claims.
    pub covering: &'a [Digest],
    /// When the login began, before the credentials were checked: a cutoff at or after this instant
    /// refuses it.
    pub since: Timestamp,
    /// How many sessions the user may have.
    pub cap: Option<SessionCap>,
}

/// What became of a session to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// It is open. To make room, these were ended.
    Opened(Vec<SessionId>),
    /// A cutoff was raised since the login began: what was checked then may hold no more.
    Stale,
    /// The digest at this index of `covering` is revoked for ever.
    Revoked(usize),
    /// The session cannot be dated `record.opened_at`: a cutoff covers that instant, or it is more
    /// than [`MAX_CUTOFF_AHEAD`](crate::defaults::MAX_CUTOFF_AHEAD) ahead of the store's clock or
    /// [`MAX_OPENING_AGE`](crate::defaults::MAX_OPENING_AGE) behind it. Open it at this instant.
    OpenAt(Timestamp),
    /// The user has as many sessions as allowed.
    Full,
}

/// A refresh token to be exchanged.
#[derive(Clone, Debug)]
pub struct Rotating<'a> {
    /// The user's sessions.
    pub index: Index<'a>,
    /// The session.
    pub session: &'a SessionId,
    /// The digest of the session in its dimension: its entry, should it end.
    pub entry: Digest,
    /// When the session was opened.
    pub born_at: Timestamp,
    /// The digests of everything that can cover the token; `entry` and `index.subject` among them.
    pub covering: &'a [Digest],
    /// Which of `covering` tell whether the session was kept when the others ended.
    pub exception: Option<Exception>,
    /// The token.
    pub presented: &'a Presented,
    /// This attempt, the same when it is repeated.
    pub attempt: AttemptId,
    /// What the successor would be.
    pub proposal: &'a Proposal,
    /// What is allowed.
    pub policy: &'a Policy,
}

impl<'a> Rotating<'a> {
    /// The question what covers the token, which reduces the answers as the rule says.
    pub fn lookup(&self) -> Lookup<'a> {
        Lookup {
            exception: self.exception,
            ..Lookup::new(self.index.shard, self.covering)
        }
    }
}

/// A session to be ended: its entry is written and its record deleted.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The user's sessions.
    pub index: Index<'a>,
    /// The session.
    pub session: &'a SessionId,
    /// The digest of the session in its dimension.
    pub entry: Digest,
    /// Whose it must be by its record: where it is not, or there is no record, nothing is written
    /// and nothing ended. A store whose writes can be unconfirmed tells the owner who asks again that it
    /// has ended, and nobody else.
    pub owner: &'a Subject,
    /// Why, for the audit stream.
    pub cause: &'a str,
}

/// All sessions of a user but one, to be ended.
///
/// One atomic step first writes the `kept_session` entry of the one that stays, up to the millisecond
/// after the store's instant, and then raises `other_sessions` of the user to that instant. So whatever
/// is opened or was, with a record or without, ends in a time that depends on no number, and a login
/// that began before is stale. Then the records go, in as many further steps as it takes.
#[derive(Clone, Debug)]
pub struct EndingOthers<'a> {
    /// The user's sessions.
    pub index: Index<'a>,
    /// Whose they are, for the audit stream.
    pub subject: &'a Subject,
    /// The one that stays.
    pub keep: &'a SessionId,
    /// Its digest in the dimension `kept_session`.
    pub kept: Digest,
    /// When it was opened.
    pub born_at: Timestamp,
    /// The digests of everything that can cover it. Where a cutoff does, nothing is written: what has
    /// ended must not come back.
    pub covering: &'a [Digest],
    /// Which of `covering` tell whether it was kept before.
    pub exception: Option<Exception>,
    /// Why, for the audit stream.
    pub cause: &'a str,
}

impl<'a> EndingOthers<'a> {
    /// The question what covers the session that stays.
    pub fn lookup(&self) -> Lookup<'a> {
        Lookup {
            exception: self.exception,
            ..Lookup::new(self.index.shard, self.covering)
        }
    }
}

/// All sessions of a user, to be ended: the cutoff of the dimension `subject` is raised to the store's
/// instant. Also while a shard heals: it depends on nothing that may be lost.
#[derive(Clone, Debug)]
pub struct EndingAll<'a> {
    /// The user's sessions.
    pub index: Index<'a>,
    /// Whose they are, for the audit stream.
    pub subject: &'a Subject,
    /// Why, for the audit stream.
    pub cause: Option<&'a str>,
    /// Who asked for it, for the audit stream.
    pub actor: Option<&'a str>,
}

/// What became of all sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedAll {
    /// Everything the user held up to this instant of the store has ended.
    pub at: Timestamp,
    /// How many sessions with a record ended in this step.
    pub sessions: u64,
    /// The cutoff of the user before.
    pub before: Option<Cutoff>,
}

impl EndedAll {
    /// For stores to make.
    pub fn new(at: Timestamp, sessions: u64, before: Option<Cutoff>) -> Self {
        Self {
            at,
            sessions,
            before,
        }
    }
}
