//! A client's view of sessions, for tests of stores: what it holds, and how it asks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jwt_revoke_core::{
    Timestamp, defaults,
    revocation::{Digest, Dimension, Placement, Shard},
    session::{AttemptId, Identity, Outcome, Policy, Presented, Proposal, Record, SessionCap},
    store::{
        EndedAll, Ending, EndingAll, EndingOthers, Exception, Index, Lookup, Opened, Opening,
        Reach, Revocation, Rotating, Store, StoreError, Transition, Transitioned,
    },
    token::{ClientId, Jti, SessionId, Subject},
};

use crate::store_suite::ISSUER;

/// A user of the suite's issuer.
#[derive(Clone, Debug)]
pub struct User {
    /// `sub`.
    pub subject: Subject,
    /// Where all of the user lies.
    pub shard: Shard,
    /// The user's entry.
    pub digest: Digest,
    /// The entry that ends the user's other sessions.
    pub others: Digest,
}

impl User {
    /// The user of that name.
    pub fn new(name: &str) -> Self {
        let subject = Subject::from(name);
        Self {
            shard: Shard::of_subject(ISSUER, &subject),
            digest: Digest::of(&Dimension::Subject, ISSUER, name.as_bytes()),
            others: Digest::of(&Dimension::OtherSessions, ISSUER, name.as_bytes()),
            subject,
        }
    }

    /// The user's sessions.
    pub fn index(&self) -> Index<'_> {
        Index {
            shard: self.shard,
            subject: self.digest,
            others: self.others,
            issuer: ISSUER,
        }
    }

    /// A revocation of all that the user has.
    pub fn revocation(&self) -> Revocation {
        self.revocation_of(&Dimension::Subject, self.subject.as_str(), NOW)
    }

    /// A revocation in the user's shard.
    pub fn revocation_of(&self, dimension: &Dimension, value: &str, reach: Reach) -> Revocation {
        let placement = Placement::One(self.shard);
        Revocation::new(dimension.clone(), ISSUER, value, placement, reach)
    }
}

/// A session that may be opened or is open.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose it is.
    pub user: User,
    /// `sid`.
    pub session: SessionId,
    /// Its entry.
    pub entry: Digest,
    /// Its entry as a kept session.
    pub kept: Digest,
    /// Its record, as it is opened.
    pub record: Record,
    /// What can cover its opening.
    pub covering: Vec<Digest>,
}

impl Line {
    /// A session to be opened at `opened_at`, living as long as `policy` allows.
    pub fn new(user: &User, opened_at: Timestamp, policy: &Policy) -> Self {
        let session = SessionId::opened_at(opened_at);
        let entry = Digest::of(&Dimension::Session, ISSUER, session.as_str().as_bytes());
        let end = opened_at.saturating_add(policy.idle_lifetime);
        let first = Identity {
            generation: 1,
            refresh: Jti::made_at(opened_at),
            access: Jti::made_at(opened_at),
            issued_at: Timestamp::from_seconds(opened_at.whole_seconds()),
            refresh_expires_at: Timestamp::from_seconds(end.whole_seconds()),
            access_expires_at: opened_at.saturating_add(defaults::ACCESS_LIFETIME),
        };
        let subject = user.subject.clone();
        let mut record = Record::opened(subject, entry, client(), opened_at, first, policy);
        record.attempt = Some(AttemptId::random());
        Self {
            user: user.clone(),
            entry,
            kept: Digest::of(&Dimension::KeptSession, ISSUER, session.as_str().as_bytes()),
            session,
            record,
            covering: vec![user.digest, client_digest(), user.others],
        }
    }

    /// Asks for it to be opened.
    pub async fn ask<S: Store>(
        &self,
        store: &S,
        since: Timestamp,
        cap: Option<SessionCap>,
    ) -> Opened {
        self.try_ask(store, since, cap).await.expect("an answer")
    }

    /// The same, where the store may fail.
    ///
    /// # Errors
    ///
    /// The store's.
    ///
    /// # Panics
    ///
    /// When it answers another question.
    pub async fn try_ask<S: Store>(
        &self,
        store: &S,
        since: Timestamp,
        cap: Option<SessionCap>,
    ) -> Result<Opened, StoreError> {
        let opening = Opening {
            index: self.user.index(),
            session: &self.session,
            record: &self.record,
            covering: &self.covering,
            since,
            cap,
        };
        match store.transition(&Transition::Open(&opening)).await? {
            Transitioned::Opened(opened) => Ok(opened),
            other => panic!("{other:?}"),
        }
    }

    /// The token of the login.
    pub fn first(&self) -> Presented {
        token(1, self.record.current.refresh.as_str())
    }

    /// Presents a token.
    pub async fn rotate<S: Store>(&self, store: &S, presented: &Presented, ask: &Ask) -> Outcome {
        self.present(store, presented, ask, Verb::Rotate)
            .await
            .unwrap()
    }

    /// Asks what presenting a token would do.
    pub async fn look<S: Store>(&self, store: &S, presented: &Presented, ask: &Ask) -> Outcome {
        self.present(store, presented, ask, Verb::Look)
            .await
            .unwrap()
    }

    /// Presents a token whose holder gets no successor.
    pub async fn judge<S: Store>(&self, store: &S, presented: &Presented, ask: &Ask) -> Outcome {
        self.present(store, presented, ask, Verb::Judge)
            .await
            .unwrap()
    }

    /// A token as its own user's, unless it says whose it is.
    pub fn own(&self, presented: &Presented) -> Presented {
        let mut own = presented.clone();
        if own.subject.as_str().is_empty() {
            own.subject = self.user.subject.clone();
        }
        own
    }

    /// Presents a token, or asks what that would do, where the store may refuse.
    pub async fn present<S: Store>(
        &self,
        store: &S,
        presented: &Presented,
        ask: &Ask,
        verb: Verb,
    ) -> Result<Outcome, StoreError> {
        let covering = self.covering_token();
        let presented = &self.own(presented);
        let rotating = Rotating {
            index: self.user.index(),
            session: &self.session,
            entry: self.entry,
            born_at: self.record.opened_at,
            covering: &covering,
            exception: Some(EXCEPTION),
            presented,
            attempt: ask.attempt,
            proposal: &ask.proposal,
            policy: &ask.policy,
        };
        let transition = match verb {
            Verb::Look => Transition::Look(&rotating),
            Verb::Judge => Transition::Judge(&rotating),
            Verb::Rotate => Transition::Rotate(&rotating),
        };
        match store.transition(&transition).await? {
            Transitioned::Rotated(outcome) => Ok(outcome),
            other => panic!("{other:?}"),
        }
    }

    /// What can cover its tokens.
    pub fn covering_token(&self) -> Vec<Digest> {
        // In the order that `EXCEPTION` names.
        let own = [self.entry, self.user.others, self.kept];
        let rest = self.covering.iter().filter(|d| **d != self.user.others);
        own.into_iter().chain(rest.copied()).collect()
    }

    /// What covers its tokens?
    pub fn lookup<'a>(&self, covering: &'a [Digest]) -> Lookup<'a> {
        Lookup::new(self.user.shard, covering).with_exception(EXCEPTION)
    }

    /// Ends it, as `owner`.
    pub async fn end<S: Store>(&self, store: &S, owner: &User) -> Vec<SessionId> {
        self.try_end(store, owner).await.expect("an answer")
    }

    /// The same, where the store may fail.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn try_end<S: Store>(
        &self,
        store: &S,
        owner: &User,
    ) -> Result<Vec<SessionId>, StoreError> {
        let ending = Ending {
            index: self.user.index(),
            session: &self.session,
            entry: self.entry,
            owner: &owner.subject,
            cause: "logout",
        };
        // An owner who asks again for an end that was not confirmed gets the first answer.
        store
            .transition(&Transition::End(&ending))
            .await
            .map(|answer| match answer {
                Transitioned::EndedBefore => vec![self.session.clone()],
                answer => ended(answer),
            })
    }

    /// Ends all others of its user, unless it has ended itself.
    pub async fn end_others<S: Store>(&self, store: &S) -> Option<Vec<SessionId>> {
        self.try_end_others(store).await.expect("an answer")
    }

    /// The same, where the store may fail.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn try_end_others<S: Store>(
        &self,
        store: &S,
    ) -> Result<Option<Vec<SessionId>>, StoreError> {
        let covering = self.covering_token();
        let ending = EndingOthers {
            index: self.user.index(),
            subject: &self.user.subject,
            keep: &self.session,
            kept: self.kept,
            born_at: self.record.opened_at,
            covering: &covering,
            exception: Some(EXCEPTION),
            cause: "logout",
        };
        Ok(
            match store.transition(&Transition::EndOthers(&ending)).await? {
                Transitioned::Covered => None,
                answer => Some(ended(answer)),
            },
        )
    }
}

/// What is done with a token that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Nothing: the outcome alone is returned.
    Look,
    /// What a stolen one ends is ended.
    Judge,
    /// It is exchanged.
    Rotate,
}

/// One attempt at a rotation.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its name.
    pub attempt: AttemptId,
    /// What it proposes.
    pub proposal: Proposal,
    /// What it allows.
    pub policy: Policy,
}

impl Ask {
    /// A new attempt.
    pub fn new(policy: Policy) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            attempt: AttemptId::random(),
            proposal: Proposal {
                refresh: format!("refresh-{number}").into(),
                access: format!("access-{number}").into(),
                access_lifetime: defaults::ACCESS_LIFETIME,
            },
            policy,
        }
    }
}

/// A token of the suite's client, of the user of whichever line presents it.
pub fn token(generation: u64, jti: &str) -> Presented {
    Presented {
        generation,
        jti: jti.into(),
        subject: "".into(),
        client: client(),
        presenter: None,
    }
}

/// The refresh token of an outcome that hands one out.
pub fn handed(outcome: &Outcome) -> Option<Presented> {
    match outcome {
        Outcome::Rotated(identity) | Outcome::Retried(identity) | Outcome::Recovered(identity) => {
            Some(token(identity.generation, identity.refresh.as_str()))
        }
        _ => None,
    }
}

/// The sessions of a user.
pub async fn list<S: Store>(store: &S, user: &User) -> Vec<(SessionId, Record)> {
    match step(store, Transition::List(&user.index())).await {
        Transitioned::Listed(listed) => listed,
        other => panic!("{other:?}"),
    }
}

/// Ends all sessions of a user.
pub async fn end_all<S: Store>(store: &S, user: &User) -> EndedAll {
    let ending = EndingAll {
        index: user.index(),
        subject: &user.subject,
        cause: Some("ban"),
        actor: Some("support"),
    };
    match step(store, Transition::EndAll(&ending)).await {
        Transitioned::EndedAll(ended) => ended,
        other => panic!("{other:?}"),
    }
}

/// Marks that the privileges of a user changed.
pub async fn mark_privileges<S: Store>(store: &S, user: &User) {
    let marked = step(store, Transition::MarkPrivileges(&user.index())).await;
    assert_eq!(marked, Transitioned::Marked);
}

/// Takes a step that must succeed.
pub async fn step<S: Store>(store: &S, transition: Transition<'_>) -> Transitioned {
    store.transition(&transition).await.unwrap()
}

fn ended(answer: Transitioned) -> Vec<SessionId> {
    match answer {
        Transitioned::Ended(sessions) => sessions,
        Transitioned::EndedBefore => Vec::new(),
        other => panic!("{other:?}"),
    }
}

/// The client of all sessions.
pub fn client() -> ClientId {
    "app".into()
}

/// The client's entry.
pub fn client_digest() -> Digest {
    Digest::of(&Dimension::Client, ISSUER, client().as_str().as_bytes())
}

/// Where in [`Line::covering_token`] those stand that tell whether it was kept.
pub const EXCEPTION: Exception = Exception {
    session: 0,
    others: 1,
    kept: 2,
};

/// Up to now.
pub const NOW: Reach = Reach::Now {
    ahead: Duration::ZERO,
};

/// A policy whose grace no test waits for.
pub fn patient() -> Policy {
    let mut policy = Policy::default();
    policy.grace = Duration::from_secs(3600);
    policy
}

/// A policy without a grace.
pub fn strict() -> Policy {
    let mut policy = Policy::default();
    policy.grace = Duration::ZERO;
    policy
}
