//! A user whose sessions a test opens, refreshes and ends.

use std::time::Duration;

use jwt_revoke_core::{
    Timestamp,
    revocation::{Digest, Dimension, Placement, Shard},
    session::{AttemptId, Identity, Outcome, Policy, Presented, Proposal, Record, SessionCap},
    store::{
        Ending, EndingOthers, Exception, Index, Opened, Opening, Reach, RedisStore, Revocation,
        Rotating, Store, StoreError, Transition, Transitioned,
    },
    token::{Jti, SessionId, Subject},
};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const CLIENT: &str = "app";

/// A user, and the policy that its sessions are under.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: Subject,
    pub(crate) policy: Policy,
}

/// A refresh token as its holder has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) session: SessionId,
    pub(crate) generation: u64,
    pub(crate) jti: Jti,
}

impl User {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            policy: Policy::default(),
        }
    }

    /// Without a grace: every retry that is not our own is reuse.
    pub(crate) fn strict(name: &str) -> Self {
        let mut user = Self::new(name);
        user.policy.grace = Duration::ZERO;
        user
    }

    pub(crate) fn shard(&self) -> Shard {
        Shard::of_subject(ISSUER, &self.name)
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&Dimension::Subject, ISSUER, self.name.as_str().as_bytes())
    }

    pub(crate) fn index(&self) -> Index<'static> {
        Index {
            shard: self.shard(),
            subject: self.digest(),
            others: self.others(),
            issuer: ISSUER,
        }
    }

    /// The entry that ends the user's other sessions.
    pub(crate) fn others(&self) -> Digest {
        Digest::of(
            &Dimension::OtherSessions,
            ISSUER,
            self.name.as_str().as_bytes(),
        )
    }

    /// A cutoff for the user, now.
    pub(crate) fn revocation(&self) -> Revocation {
        let reach = Reach::Now {
            ahead: Duration::ZERO,
        };
        let placement = Placement::One(self.shard());
        Revocation::new(
            Dimension::Subject,
            ISSUER,
            self.name.as_str(),
            placement,
            reach,
        )
    }

    pub(crate) fn session_revocation(&self, session: &SessionId) -> Revocation {
        let placement = Placement::One(self.shard());
        Revocation::new(
            Dimension::Session,
            ISSUER,
            session.as_str(),
            placement,
            Reach::Forever,
        )
    }

    /// The record of a session opened at `at`.
    pub(crate) fn record(&self, session: &SessionId, at: Timestamp) -> Record {
        let first = Identity {
            generation: 1,
            refresh: Jti::made_at(at),
            access: Jti::made_at(at),
            issued_at: at,
            refresh_expires_at: at.saturating_add(self.policy.idle_lifetime),
            access_expires_at: at.saturating_add(Duration::from_secs(900)),
        };
        let mut record = Record::opened(
            self.name.clone(),
            entry(session),
            CLIENT.into(),
            at,
            first,
            &self.policy,
        );
        record.device = Some("Firefox on Linux".into());
        record.attempt = Some(AttemptId::random());
        record
    }

    pub(crate) fn covering(&self) -> Vec<Digest> {
        let client = Digest::of(&Dimension::Client, ISSUER, CLIENT.as_bytes());
        vec![self.digest(), client, self.others()]
    }

    /// What can cover the tokens of a session.
    pub(crate) fn covering_of(&self, session: &SessionId) -> Vec<Digest> {
        let mut covering = self.covering();
        covering.extend([entry(session), kept(session)]);
        covering
    }

    pub(crate) async fn open_with(
        &self,
        store: &RedisStore,
        session: &SessionId,
        record: &Record,
        since: Timestamp,
        cap: Option<SessionCap>,
    ) -> Result<Opened, StoreError> {
        let opening = Opening {
            index: self.index(),
            session,
            record,
            covering: &self.covering(),
            since,
            cap,
        };
        match store.transition(&Transition::Open(&opening)).await? {
            Transitioned::Opened(opened) => Ok(opened),
            other => panic!("{other:?}"),
        }
    }

    /// Opens a session that begins now, or as soon as the last cutoff has passed.
    pub(crate) async fn login(&self, store: &RedisStore) -> Held {
        loop {
            let since = store.now(self.shard()).await.unwrap();
            match self.login_since(store, since, None).await {
                Ok(token) => return token,
                // Within the millisecond of the cutoff.
                Err(Opened::Stale) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    /// The same, for credentials that were checked from `since` on.
    pub(crate) async fn login_since(
        &self,
        store: &RedisStore,
        since: Timestamp,
        cap: Option<SessionCap>,
    ) -> Result<Held, Opened> {
        let mut at = since;
        for _ in 0..20 {
            let session = SessionId::opened_at(at);
            let record = self.record(&session, at);
            match self
                .open_with(store, &session, &record, since, cap)
                .await
                .unwrap()
            {
                Opened::Opened(_) => return Ok(held(&session, &record.current)),
                Opened::OpenAt(later) => at = later,
                other => return Err(other),
            }
        }
        panic!("it is never the right time");
    }

    pub(crate) async fn step(
        &self,
        store: &RedisStore,
        token: &Held,
        attempt: AttemptId,
        look: bool,
    ) -> Result<Outcome, StoreError> {
        let presented = Presented {
            generation: token.generation,
            jti: token.jti.clone(),
            subject: self.name.clone(),
            client: CLIENT.into(),
            presenter: None,
        };
        let now = Timestamp::from_millis(1_700_000_000_000);
        let proposal = Proposal {
            refresh: Jti::made_at(now),
            access: Jti::made_at(now),
            access_lifetime: Duration::from_secs(900),
        };
        let covering = self.covering_of(&token.session);
        let rotating = Rotating {
            index: self.index(),
            session: &token.session,
            entry: entry(&token.session),
            born_at: token.session.instant().unwrap(),
            covering: &covering,
            exception: Some(EXCEPTION),
            presented: &presented,
            attempt,
            proposal: &proposal,
            policy: &self.policy,
        };
        let transition = if look {
            Transition::Look(&rotating)
        } else {
            Transition::Rotate(&rotating)
        };
        match store.transition(&transition).await? {
            Transitioned::Rotated(outcome) => Ok(outcome),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn refresh(&self, store: &RedisStore, token: &Held) -> Outcome {
        self.try_refresh(store, token).await.unwrap()
    }

    pub(crate) async fn try_refresh(
        &self,
        store: &RedisStore,
        token: &Held,
    ) -> Result<Outcome, StoreError> {
        self.step(store, token, AttemptId::random(), false).await
    }

    /// Refreshes a token that must rotate.
    pub(crate) async fn next(&self, store: &RedisStore, token: &Held) -> Held {
        match self.refresh(store, token).await {
            Outcome::Rotated(identity) => held(&token.session, &identity),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn end(&self, store: &RedisStore, session: &SessionId) -> Vec<SessionId> {
        let ending = Ending {
            index: self.index(),
            session,
            entry: entry(session),
            owner: &self.name,
            cause: "logout",
        };
        ended(store.transition(&Transition::End(&ending)).await.unwrap())
    }

    pub(crate) async fn end_others(&self, store: &RedisStore, keep: &SessionId) -> Vec<SessionId> {
        let covering = self.covering_of(keep);
        let ending = EndingOthers {
            index: self.index(),
            subject: &self.name,
            keep,
            kept: kept(keep),
            born_at: keep.instant().unwrap(),
            covering: &covering,
            exception: Some(EXCEPTION),
            cause: "logout",
        };
        let answer = store.transition(&Transition::EndOthers(&ending)).await;
        ended(answer.unwrap())
    }

    pub(crate) async fn mark(&self, store: &RedisStore) {
        let index = self.index();
        let answer = store.transition(&Transition::MarkPrivileges(&index)).await;
        assert_eq!(answer.unwrap(), Transitioned::Marked);
    }

    pub(crate) async fn list(&self, store: &RedisStore) -> Vec<(SessionId, Record)> {
        let index = self.index();
        match store.transition(&Transition::List(&index)).await.unwrap() {
            Transitioned::Listed(listed) => listed,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn sessions(&self, store: &RedisStore) -> Vec<SessionId> {
        let listed = self.list(store).await;
        listed.into_iter().map(|(session, _)| session).collect()
    }
}

/// Where in what covers a token those stand that tell whether its session was kept.
pub(crate) const EXCEPTION: Exception = Exception {
    session: 3,
    others: 2,
    kept: 4,
};

/// The digest of a session as a kept one.
pub(crate) fn kept(session: &SessionId) -> Digest {
    Digest::of(&Dimension::KeptSession, ISSUER, session.as_str().as_bytes())
}

/// The digest of a session in its dimension.
pub(crate) fn entry(session: &SessionId) -> Digest {
    Digest::of(&Dimension::Session, ISSUER, session.as_str().as_bytes())
}

pub(crate) fn held(session: &SessionId, identity: &Identity) -> Held {
    Held {
        session: session.clone(),
        generation: identity.generation,
        jti: identity.refresh.clone(),
    }
}

fn ended(answer: Transitioned) -> Vec<SessionId> {
    match answer {
        Transitioned::Ended(sessions) => sessions,
        Transitioned::EndedBefore => Vec::new(),
        other => panic!("{other:?}"),
    }
}
