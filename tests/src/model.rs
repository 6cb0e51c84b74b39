//! A store's sessions in plain Rust: what every store must do, one line after the other.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jwt_revoke_core::{
    Timestamp, defaults,
    revocation::{Cutoff, Cutoffs, Digest},
    session::{Effect, Outcome, Presented, Record, SessionCap, WhenFull, rotate},
    store::Opened,
    token::SessionId,
};

use crate::sessions::{Ask, Line, User, Verb};

/// What a store should hold.
#[derive(Clone, Default)]
pub struct Model {
    sessions: BTreeMap<SessionId, (Digest, Record)>,
    cutoffs: HashMap<Digest, Cutoff>,
}

impl Model {
    /// The cutoff of an entry.
    pub fn cutoff(&self, digest: &Digest) -> Option<Cutoff> {
        self.cutoffs.get(digest).copied()
    }

    /// Raises an entry.
    pub fn revoke(&mut self, digest: Digest, cutoff: Cutoff) {
        let raised = self.cutoffs.entry(digest).or_insert(cutoff);
        *raised = cutoff.max(*raised);
        self.sessions
            .retain(|_, (_, record)| record.entry != digest);
    }

    /// `Transition::Open`
    pub fn open(
        &mut self,
        line: &Line,
        since: Timestamp,
        cap: Option<SessionCap>,
        now: Timestamp,
    ) -> Opened {
        let forever = |digest| self.cutoff(digest) == Some(Cutoff::Forever);
        if let Some(index) = line.covering.iter().position(forever) {
            return Opened::Revoked(index);
        }
        let instants = line
            .covering
            .iter()
            .filter_map(|digest| self.cutoff(digest));
        let highest = instants.max();
        let mut earliest = now;
        if let Some(Cutoff::At(cutoff)) = highest {
            if cutoff >= since {
                return Opened::Stale;
            }
            earliest = earliest.max(cutoff.saturating_add(Duration::from_millis(1)));
        }
        let opened_at = line.record.opened_at;
        let covered = highest.is_some_and(|cutoff| cutoff.covers(opened_at));
        let latest = earliest.max(now.saturating_add(defaults::MAX_CUTOFF_AHEAD));
        let oldest = now.saturating_sub(defaults::MAX_OPENING_AGE);
        if covered || opened_at > latest || opened_at < oldest {
            return Opened::OpenAt(earliest);
        }
        if self.cutoff(&line.entry).is_some() {
            return Opened::Stale;
        }
        if self.sessions.contains_key(&line.session) {
            return Opened::Opened(vec![]);
        }
        let mut evicted = Vec::new();
        if let Some(cap) = cap {
            let live = self.live(&line.user, now);
            let limit = cap.limit.max(1) as usize;
            if live.len() >= limit {
                if cap.when_full == WhenFull::Refuse {
                    return Opened::Full;
                }
                evicted.extend(live[..=live.len() - limit].iter().cloned());
            }
        }
        for session in &evicted {
            self.end_session(session);
        }
        let kept = (line.user.digest, line.record.clone());
        self.sessions.insert(line.session.clone(), kept);
        Opened::Opened(evicted)
    }

    /// `Transition::Rotate`, `Transition::Judge` or `Transition::Look`
    pub fn rotate(
        &mut self,
        line: &Line,
        presented: &Presented,
        ask: &Ask,
        verb: Verb,
        now: Timestamp,
    ) -> Outcome {
        let found = self.covering(line);
        let (outcome, effect) = rotate(
            self.sessions.get(&line.session).map(|(_, record)| record),
            found.covering(line.record.opened_at).is_some(),
            &line.own(presented),
            ask.attempt,
            &ask.proposal,
            now,
            &ask.policy,
        );
        match effect {
            _ if verb == Verb::Look => {}
            Effect::Nothing => {}
            Effect::Save(_) if verb == Verb::Judge => {}
            Effect::Save(record) => {
                let kept = (line.user.digest, *record);
                self.sessions.insert(line.session.clone(), kept);
            }
            Effect::EndSession => self.end_session(&line.session),
            Effect::EndSubject(at) => {
                self.end_session(&line.session);
                self.revoke(line.user.digest, Cutoff::At(at));
                let later = self.sessions.iter().filter(|(_, (subject, record))| {
                    *subject == line.user.digest && record.opened_at > at
                });
                let later: Vec<_> = later.map(|(session, _)| session.clone()).collect();
                for session in &later {
                    self.end_session(session);
                }
            }
        }
        outcome
    }

    /// `Transition::End`
    pub fn end(&mut self, line: &Line, owner: &User) -> Vec<SessionId> {
        match self.sessions.get(&line.session) {
            Some((_, record)) if record.subject == owner.subject => {
                self.end_session(&line.session);
                vec![line.session.clone()]
            }
            _ => vec![],
        }
    }

    /// `Transition::EndOthers`
    pub fn end_others(&mut self, line: &Line, now: Timestamp) -> Option<Vec<SessionId>> {
        if self
            .covering(line)
            .covering(line.record.opened_at)
            .is_some()
        {
            return None;
        }
        let mut others = self.live(&line.user, now);
        others.retain(|session| *session != line.session);
        // Of a clock that was ahead and has been put right.
        let later = self.sessions.iter().filter(|(session, (subject, record))| {
            *subject == line.user.digest && record.opened_at > now && **session != line.session
        });
        let later: Vec<_> = later.map(|(session, _)| session.clone()).collect();
        others.retain(|session| !later.contains(session));
        for session in &later {
            self.end_session(session);
        }
        let spared = now.saturating_add(Duration::from_millis(1));
        self.revoke(line.kept, Cutoff::At(spared));
        self.revoke(line.user.others, Cutoff::At(now));
        for session in &others {
            self.sessions.remove(session);
        }
        others.extend(later);
        Some(others)
    }

    /// `Transition::EndAll`
    pub fn end_all(&mut self, user: &User, now: Timestamp) -> (u64, Option<Cutoff>) {
        let before = self.cutoff(&user.digest);
        let live = self.live(user, now).len() as u64;
        self.revoke(user.digest, Cutoff::At(now));
        (live, before)
    }

    fn covering(&self, line: &Line) -> Cutoffs {
        let covering = line.covering_token();
        let query = line.lookup(&covering);
        let found = covering.iter().enumerate();
        query.cutoffs(found.filter_map(|(index, digest)| Some((index, self.cutoff(digest)?))))
    }

    /// `Transition::List`
    pub fn list(&self, user: &User, now: Timestamp) -> Vec<(SessionId, Record)> {
        let theirs = self.sessions.iter().filter(|(_, (subject, record))| {
            let now = now.max(record.last_used_at);
            let expired = now >= record.idle_deadline || now >= record.absolute_deadline;
            *subject == user.digest && !expired
        });
        let mut listed: Vec<_> = theirs
            .map(|(session, (_, record))| (session.clone(), record.clone()))
            .collect();
        listed.sort_by_key(|(session, record)| (record.opened_at, session.clone()));
        listed
    }

    /// `Transition::MarkPrivileges`
    pub fn mark_privileges(&mut self, user: &User, now: Timestamp) {
        for (subject, record) in self.sessions.values_mut() {
            if *subject == user.digest {
                let marked = record.privileges_changed_at;
                record.privileges_changed_at = now.max(record.last_used_at).max(marked);
            }
        }
    }

    fn live(&self, user: &User, now: Timestamp) -> Vec<SessionId> {
        let cutoff = self.cutoff(&user.digest);
        let mut live = self.list(user, now);
        live.retain(|(_, record)| !cutoff.is_some_and(|cutoff| cutoff.covers(record.opened_at)));
        live.into_iter().map(|(session, _)| session).collect()
    }

    fn end_session(&mut self, session: &SessionId) {
        if let Some((_, record)) = self.sessions.remove(session) {
            self.revoke(record.entry, Cutoff::Forever);
        }
    }
}
