//! A [`Transition`] that can be handed to the writer: the same without borrows.

use crate::{
    clock::Timestamp,
    revocation::{Digest, Shard},
    session::{AttemptId, Policy, Presented, Proposal, Record, SessionCap},
    store::{
        Ending, EndingAll, EndingOthers, Exception, Index, Lookup, Opening, Rotating, Transition,
    },
    token::{SessionId, Subject},
};

/// What the writer is asked to do with sessions.
pub(super) enum Step {
    Open(Box<Open>),
    /// Commits those of its effects that `commit` names.
    Rotate {
        rotate: Box<Rotate>,
        commit: Commit,
    },
    End {
        user: User,
        entry: Digest,
        owner: Subject,
        cause: Box<str>,
    },
    EndOthers(Box<EndOthers>),
    /// Goes on deleting the records of sessions that ended with the others.
    ForgetOthers(User),
    EndAll {
        user: User,
        subject: Subject,
        cause: Option<Box<str>>,
        actor: Option<Box<str>>,
    },
    List(User),
    MarkPrivileges(User),
}

/// Which effects of a rotation are committed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Nothing,
    /// The end of sessions and users, after a theft or a fork.
    Ends,
    All,
}

/// Whose sessions. A store in one file has no shards.
pub(super) struct User {
    pub(super) subject: Digest,
    pub(super) others: Digest,
    pub(super) issuer: Box<str>,
}

pub(super) struct EndOthers {
    pub(super) user: User,
    pub(super) subject: Subject,
    pub(super) keep: SessionId,
    pub(super) kept: Digest,
    pub(super) born_at: Timestamp,
    pub(super) covering: Covering,
    pub(super) cause: Box<str>,
}

/// What can cover a session, and how the rule reads it.
pub(super) struct Covering {
    pub(super) digests: Box<[Digest]>,
    pub(super) exception: Option<Exception>,
}

impl Covering {
    pub(super) fn lookup(&self) -> Lookup<'_> {
        Lookup {
            exception: self.exception,
            ..Lookup::new(Shard::FIRST, &self.digests)
        }
    }
}

pub(super) struct Open {
    pub(super) user: User,
    pub(super) session: SessionId,
    pub(super) record: Record,
    pub(super) covering: Box<[Digest]>,
    pub(super) since: Timestamp,
    pub(super) cap: Option<SessionCap>,
}

pub(super) struct Rotate {
    pub(super) user: User,
    pub(super) entry: Digest,
    pub(super) born_at: Timestamp,
    pub(super) covering: Covering,
    pub(super) presented: Presented,
    pub(super) attempt: AttemptId,
    pub(super) proposal: Proposal,
    pub(super) policy: Policy,
}

impl Step {
    pub(super) fn of(transition: &Transition<'_>) -> Self {
        match transition {
            Transition::Open(opening) => Self::Open(Box::new(Open::of(opening))),
            Transition::Look(rotating) => Self::rotate(rotating, Commit::Nothing),
            Transition::Rotate(rotating) => Self::rotate(rotating, Commit::All),
            Transition::Judge(rotating) => Self::rotate(rotating, Commit::Ends),
            Transition::End(Ending {
                index,
                entry,
                owner,
                cause,
                session: _,
            }) => Self::End {
                user: User::of(index),
                entry: *entry,
                owner: (*owner).clone(),
                cause: (*cause).into(),
            },
            Transition::EndOthers(ending) => Self::EndOthers(Box::new(EndOthers::of(ending))),
            Transition::EndAll(EndingAll {
                index,
                subject,
                cause,
                actor,
            }) => Self::EndAll {
                user: User::of(index),
                subject: (*subject).clone(),
                cause: cause.map(Into::into),
                actor: actor.map(Into::into),
            },
            Transition::List(index) => Self::List(User::of(index)),
            Transition::MarkPrivileges(index) => Self::MarkPrivileges(User::of(index)),
        }
    }

    fn rotate(rotating: &Rotating<'_>, commit: Commit) -> Self {
        let rotate = Box::new(Rotate {
            user: User::of(&rotating.index),
            entry: rotating.entry,
            born_at: rotating.born_at,
            covering: Covering {
                digests: rotating.covering.into(),
                exception: rotating.exception,
            },
            presented: rotating.presented.clone(),
            attempt: rotating.attempt,
            proposal: rotating.proposal.clone(),
            policy: *rotating.policy,
        });
        Self::Rotate { rotate, commit }
    }
}

impl Open {
    fn of(opening: &Opening<'_>) -> Self {
        Self {
            user: User::of(&opening.index),
            session: opening.session.clone(),
            record: opening.record.clone(),
            covering: opening.covering.into(),
            since: opening.since,
            cap: opening.cap,
        }
    }
}

impl EndOthers {
    fn of(ending: &EndingOthers<'_>) -> Self {
        Self {
            user: User::of(&ending.index),
            subject: ending.subject.clone(),
            keep: ending.keep.clone(),
            kept: ending.kept,
            born_at: ending.born_at,
            covering: Covering {
                digests: ending.covering.into(),
                exception: ending.exception,
            },
            cause: ending.cause.into(),
        }
    }
}

impl User {
    pub(super) fn of(index: &Index<'_>) -> Self {
        Self {
            subject: index.subject,
            others: index.others,
            issuer: index.issuer.into(),
        }
    }
}
