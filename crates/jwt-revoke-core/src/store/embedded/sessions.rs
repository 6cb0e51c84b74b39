//! Steps in the life of sessions.

use super::{
    batch::Batch,
    database::Unreadable,
    kept::KeptSession,
    rows::SessionRows,
    step::{Commit, EndOthers, Open, Rotate, Step, User},
};
use crate::{
    clock::Timestamp,
    defaults,
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Horizon, Shard},
    session::{Effect, Outcome, SessionCap, WhenFull, rotate},
    store::{Audit, EndedAll, Lookup, Opened, StoreError, Transitioned},
    token::{SessionId, Subject},
};

/// Each step reads first and changes afterwards, so one that fails has changed nothing.
impl Batch<'_> {
    pub(super) fn step(&mut self, step: Step) -> Result<Transitioned, StoreError> {
        match step {
            Step::Open(open) => self.open(*open).map(Transitioned::Opened),
            Step::Rotate { rotate, commit } => {
                self.rotate(&rotate, commit).map(Transitioned::Rotated)
            }
            Step::End {
                user,
                entry,
                owner,
                cause,
            } => self.end(&user, entry, &owner, &cause),
            Step::EndOthers(ending) => self.end_others(&ending),
            Step::ForgetOthers(user) => self.forget_others(&user).map(Transitioned::Ended),
            Step::EndAll {
                user,
                subject,
                cause,
                actor,
            } => self.end_all_of(&user, &subject, cause, actor),
            Step::List(user) => self.list(&user),
            Step::MarkPrivileges(user) => self.mark_privileges(&user),
        }
    }

    fn open(&mut self, open: Open) -> Result<Opened, StoreError> {
        let record = &open.record;
        let query = Lookup::new(Shard::FIRST, &open.covering);
        let cutoffs = self.cutoffs(&query);
        let earliest = match cutoffs.highest() {
            None => self.clock,
            Some(Cutoff::Forever) => {
                let index = cutoffs.covering(self.clock).unwrap_or_default();
                return Ok(Opened::Revoked(index));
            }
            // The cutoff's clock was ahead: whether the login began before it cannot be told, nor be waited for.
            Some(Cutoff::At(cutoff))
                if cutoff >= open.since
                    && cutoff > self.clock.saturating_add(defaults::MAX_CUTOFF_AHEAD) =>
            {
                return Ok(Opened::OpenAt(cutoff.saturating_add(MILLISECOND)));
            }
            Some(Cutoff::At(cutoff)) if cutoff >= open.since => return Ok(Opened::Stale),
            Some(Cutoff::At(cutoff)) => self.clock.max(cutoff.saturating_add(MILLISECOND)),
        };
        // As far ahead as a cutoff may have pushed it, and not a millisecond less, or a caller who
        // does as told would be told so again.
        let latest = earliest.max(self.clock.saturating_add(defaults::MAX_CUTOFF_AHEAD));
        let oldest = self.clock.saturating_sub(defaults::MAX_OPENING_AGE);
        if cutoffs.covering(record.opened_at).is_some()
            || !(oldest..=latest).contains(&record.opened_at)
        {
            return Ok(Opened::OpenAt(earliest));
        }
        // The clock has run back since the login began, perhaps behind a cutoff.
        if open.since > earliest.max(self.now).saturating_add(MILLISECOND) {
            return Ok(Opened::Stale);
        }
        // It was opened by an earlier attempt, and has been ended since.
        if self.cutoff(&record.entry).is_some() {
            return Ok(Opened::Stale);
        }
        if let Some(kept) = self.kept(&record.entry)? {
            return if record.attempt.is_some() && kept.record.attempt == record.attempt {
                Ok(Opened::Opened(Vec::new()))
            } else {
                Err(self.failed("a session of that name is open already"))
            };
        }
        let subject = open.user.subject;
        let evicted = match open.cap {
            None => {
                self.clear_some(&open.user, record.entry)?;
                Vec::new()
            }
            Some(cap) => {
                let live = self.live_and_clear(&open.user)?;
                let Some(evicted) = make_room(live, cap) else {
                    return Ok(Opened::Full);
                };
                evicted
            }
        };
        self.now = self.now.max(record.opened_at);
        self.used = self.used.max(record.opened_at);
        let entry = record.entry;
        self.changes
            .sessions
            .opened
            .entry(subject)
            .or_default()
            .push(entry);
        self.save(KeptSession::new(open.session, subject, open.record));
        Ok(Opened::Opened(self.end_all(evicted, &open.user, "cap")))
    }

    fn rotate(&mut self, asked: &Rotate, commit: Commit) -> Result<Outcome, StoreError> {
        let kept = self.kept(&asked.entry)?;
        let covered = self.cutoffs(&asked.covering.lookup());
        let covered = covered.covering(asked.born_at);
        let (outcome, effect) = rotate(
            kept.as_ref().map(|kept| &kept.record),
            covered.is_some(),
            &asked.presented,
            asked.attempt,
            &asked.proposal,
            self.clock,
            &asked.policy,
        );
        let Some(kept) = kept.filter(|_| commit != Commit::Nothing) else {
            return Ok(outcome);
        };
        let cause = match outcome {
            Outcome::Forked => "fork",
            _ => "reuse",
        };
        match effect {
            Effect::Nothing => {}
            Effect::Save(_) if commit == Commit::Ends => {}
            Effect::Save(record) => self.save(KeptSession {
                record: *record,
                ..kept
            }),
            Effect::EndSession => self.end_session(&kept, &asked.user, cause),
            Effect::EndSubject(at) => {
                // Also what has no record, and was dated ahead.
                let at = at.max(self.now);
                let later = self.opened_after(asked.user.subject, at)?;
                self.end_session(&kept, &asked.user, cause);
                let audit = audit(
                    Dimension::Subject,
                    asked.presented.subject.as_str(),
                    &asked.user,
                    cause,
                );
                let subject = asked.user.subject;
                let now = self.now;
                self.raise(subject, Cutoff::At(at), Horizon::Session, now, &audit);
                let others = later.iter().filter(|other| other.session != kept.session);
                for other in others {
                    self.end_session(other, &asked.user, cause);
                }
            }
        }
        Ok(outcome)
    }

    fn end(
        &mut self,
        user: &User,
        entry: Digest,
        owner: &Subject,
        cause: &str,
    ) -> Result<Transitioned, StoreError> {
        let kept = self.kept(&entry)?;
        let theirs = kept.filter(|kept| kept.record.subject == *owner);
        let ended = self.end_all(theirs.into_iter().collect(), user, cause);
        Ok(Transitioned::Ended(ended))
    }

    fn end_others(&mut self, ending: &EndOthers) -> Result<Transitioned, StoreError> {
        let (user, cause) = (&ending.user, &*ending.cause);
        let covered = self.cutoffs(&ending.covering.lookup());
        if covered.covering(ending.born_at).is_some() {
            return Ok(Transitioned::Covered);
        }
        let cutoff = self.now;
        // Of a clock that was ahead and has been put right: the cutoff does not reach them.
        let later = self.opened_after(user.subject, cutoff)?.into_iter();
        let later = later
            .filter(|other| other.session != ending.keep)
            .collect::<Vec<_>>();
        let spared = cutoff.saturating_add(MILLISECOND);
        let entries = [
            (
                ending.kept,
                spared,
                audit(Dimension::KeptSession, ending.keep.as_str(), user, cause),
            ),
            (
                user.others,
                cutoff,
                audit(
                    Dimension::OtherSessions,
                    ending.subject.as_str(),
                    user,
                    cause,
                ),
            ),
        ];
        for (digest, cutoff, audit) in &entries {
            self.raise(
                *digest,
                Cutoff::At(*cutoff),
                Horizon::Session,
                self.now,
                audit,
            );
        }
        let mut ended = self.end_all(later, user, cause);
        ended.extend(self.forget_others(user)?);
        Ok(Transitioned::Ended(ended))
    }

    /// Deletes the records of sessions that lived until the others of their user ended, at most [`SLICE`]
    /// of them, and returns those.
    fn forget_others(&mut self, user: &User) -> Result<Vec<SessionId>, StoreError> {
        let (mut forgotten, now) = (Vec::new(), self.clock);
        let cutoff = self.cutoff(&user.subject);
        for entry in self.entries_of_user(user.subject)? {
            if forgotten.len() == SLICE {
                break;
            }
            // What cannot be read is none: it must not keep the others from being forgotten.
            let Ok(Some(kept)) = self.kept(&entry) else {
                continue;
            };
            let opened_at = kept.record.opened_at;
            let lived =
                !cutoff.is_some_and(|cutoff| cutoff.covers(opened_at)) && kept.is_unexpired(now);
            if lived && self.has_ended_with_others(&kept, user) {
                self.changes.sessions.kept.insert(entry, None);
                forgotten.push(kept.session);
            }
        }
        Ok(forgotten)
    }

    /// Whether a session ended with the others of its user, and was not the one that was kept.
    fn has_ended_with_others(&self, kept: &KeptSession, user: &User) -> bool {
        let Some(others) = self.cutoff(&user.others) else {
            return false;
        };
        others.covers(kept.record.opened_at) && {
            let session = kept.session.as_str().as_bytes();
            let spared = Digest::of(&Dimension::KeptSession, &user.issuer, session);
            self.cutoff(&spared).is_none_or(|spared| spared <= others)
        }
    }

    fn end_all_of(
        &mut self,
        user: &User,
        subject: &Subject,
        cause: Option<Box<str>>,
        actor: Option<Box<str>>,
    ) -> Result<Transitioned, StoreError> {
        let before = self.cutoff(&user.subject);
        let live = self.live(user)?;
        let audit = Audit {
            cause,
            actor,
            ..audit(Dimension::Subject, subject.as_str(), user, "")
        };
        let at = self.now;
        self.raise(user.subject, Cutoff::At(at), Horizon::Session, at, &audit);
        let ended = live.iter().filter(|kept| kept.record.opened_at <= at);
        let ended = u64::try_from(ended.count()).unwrap_or(u64::MAX);
        Ok(Transitioned::EndedAll(EndedAll::new(at, ended, before)))
    }

    fn list(&mut self, user: &User) -> Result<Transitioned, StoreError> {
        let kept = self.of_user(user.subject)?.into_iter();
        let unexpired = kept.filter(|kept| kept.is_unexpired(self.clock));
        let listed = unexpired.map(|kept| (kept.session, kept.record));
        Ok(Transitioned::Listed(listed.collect()))
    }

    fn mark_privileges(&mut self, user: &User) -> Result<Transitioned, StoreError> {
        for mut kept in self.of_user(user.subject)? {
            // A clock that was ahead must not have a spend seem later than the change.
            let record = &mut kept.record;
            let before = record.privileges_changed_at.max(record.last_used_at);
            record.privileges_changed_at = self.clock.max(before);
            self.save(kept);
        }
        Ok(Transitioned::Marked)
    }

    /// The session with the entry `entry` is revoked, so its record goes, also one that cannot be
    /// read: nothing keeps a revocation from being written.
    pub(super) fn forget_session(&mut self, entry: Digest) {
        if !matches!(self.kept(&entry), Ok(None)) {
            self.changes.sessions.kept.insert(entry, None);
        }
    }

    /// Deletes, of the sessions that are due, those that have no token left. Returns how many they
    /// were, and how many it has looked at.
    pub(super) fn forget_sessions(&mut self) -> Result<(usize, usize), StoreError> {
        let now = self.shared.clock.settled();
        let due = self.read(|rows| rows.due(now, defaults::PURGE_SLICE))?;
        let mut forgotten = 0;
        for entry in &due {
            let kept = self.kept(entry)?;
            let filed_anew = kept.and_then(|kept| kept.filed_anew(now));
            forgotten += usize::from(filed_anew.is_none());
            self.changes.sessions.kept.insert(*entry, filed_anew);
        }
        Ok((forgotten, due.len()))
    }

    fn end_all(&mut self, all: Vec<KeptSession>, user: &User, cause: &str) -> Vec<SessionId> {
        all.into_iter()
            .map(|kept| {
                self.end_session(&kept, user, cause);
                kept.session
            })
            .collect()
    }

    /// Writes the session's entry and deletes its record.
    fn end_session(&mut self, kept: &KeptSession, user: &User, cause: &str) {
        let entry = kept.record.entry;
        let audit = audit(Dimension::Session, kept.session.as_str(), user, cause);
        let opened_at = kept.record.opened_at;
        self.raise(entry, Cutoff::Forever, Horizon::Session, opened_at, &audit);
        self.changes.sessions.kept.insert(entry, None);
    }

    fn save(&mut self, kept: KeptSession) {
        let entry = kept.record.entry;
        self.changes.sessions.kept.insert(entry, Some(kept));
    }

    /// The user's sessions that can be used, the oldest first.
    fn live(&mut self, user: &User) -> Result<Vec<KeptSession>, StoreError> {
        let clock = self.clock;
        let (mut live, _) = self.by_cutoff(user)?;
        live.retain(|kept| kept.is_unexpired(clock));
        Ok(live)
    }

    /// The same. Where many records are covered by a cutoff some of them are deleted, so that a user who logs in
    /// and out for ever does not slow down every login: a token of theirs is refused with or without a record.
    fn live_and_clear(&mut self, user: &User) -> Result<Vec<KeptSession>, StoreError> {
        let clock = self.clock;
        let (mut live, covered) = self.by_cutoff(user)?;
        if covered.len() > SPARE {
            for kept in covered.iter().take(SPARE) {
                self.changes.sessions.kept.insert(kept.record.entry, None);
            }
        }
        live.retain(|kept| kept.is_unexpired(clock));
        Ok(live)
    }

    /// The same where sessions are not counted: a few records of the user are looked at, at random, and more of
    /// them than a login adds.
    fn clear_some(&mut self, user: &User, random: Digest) -> Result<(), StoreError> {
        if self.cutoff(&user.subject).is_none() && self.cutoff(&user.others).is_none() {
            return Ok(());
        }
        let rows =
            self.read(|rows| rows.some_of_user(&user.subject, &random, SPARE + LOOKED_AT))?;
        if rows.len() < SPARE {
            return Ok(());
        }
        for entry in rows.iter().take(LOOKED_AT) {
            if let Some(kept) = self.kept(entry)?
                && self.is_covered(&kept, user)
            {
                self.changes.sessions.kept.insert(*entry, None);
            }
        }
        Ok(())
    }

    /// The user's sessions, the oldest first: those that no cutoff of the user covers, and those that one does.
    fn by_cutoff(
        &mut self,
        user: &User,
    ) -> Result<(Vec<KeptSession>, Vec<KeptSession>), StoreError> {
        let all = self.of_user(user.subject)?.into_iter();
        Ok(all.partition(|kept| !self.is_covered(kept, user)))
    }

    /// Whether a cutoff of the user, or of the user's other sessions, covers a session.
    fn is_covered(&self, kept: &KeptSession, user: &User) -> bool {
        let cutoff = self.cutoff(&user.subject);
        cutoff.is_some_and(|cutoff| cutoff.covers(kept.record.opened_at))
            || self.has_ended_with_others(kept, user)
    }

    /// The user's sessions that were opened after `at`. What cannot be read is none: it must not keep the
    /// others from being ended.
    fn opened_after(
        &mut self,
        subject: Digest,
        at: Timestamp,
    ) -> Result<Vec<KeptSession>, StoreError> {
        let entries = self.entries_of_user(subject)?.into_iter();
        let kept = entries.filter_map(|entry| self.kept(&entry).ok().flatten());
        Ok(kept.filter(|kept| kept.record.opened_at > at).collect())
    }

    /// All sessions of a user that have a record, the oldest first.
    fn of_user(&mut self, subject: Digest) -> Result<Vec<KeptSession>, StoreError> {
        let entries = self.entries_of_user(subject)?;
        let mut found = Vec::with_capacity(entries.len());
        for entry in &entries {
            found.extend(self.kept(entry)?);
        }
        found.sort_unstable_by(|a, b| {
            let key = |kept: &KeptSession| (kept.record.opened_at, kept.session.clone());
            key(a).cmp(&key(b))
        });
        Ok(found)
    }

    /// The entries of the sessions that a user has or had, those opened just now among them.
    fn entries_of_user(&mut self, subject: Digest) -> Result<Vec<Digest>, StoreError> {
        let mut entries = self.read(|rows| rows.of_user(&subject))?;
        let opened = self.changes.sessions.opened.get(&subject);
        entries.extend(opened.into_iter().flatten());
        Ok(entries)
    }

    fn kept(&mut self, entry: &Digest) -> Result<Option<KeptSession>, StoreError> {
        match self.changes.sessions.kept.get(entry) {
            Some(pending) => Ok(pending.clone()),
            None => self.read(|rows| rows.get(entry)),
        }
    }

    fn read<T>(
        &mut self,
        what: impl FnOnce(&SessionRows) -> Result<T, Unreadable>,
    ) -> Result<T, StoreError> {
        let name = &self.shared.name;
        let rows = match &self.rows {
            Some(rows) => rows,
            None => {
                let rows = self.database.sessions();
                self.rows
                    .insert(rows.map_err(|error| error.while_running(name))?)
            }
        };
        what(rows).map_err(|error| error.while_running(name))
    }

    fn cutoffs(&self, query: &Lookup<'_>) -> Cutoffs {
        let find = |(index, digest)| Some((index, self.cutoff(digest)?));
        query.cutoffs(query.digests.iter().enumerate().filter_map(find))
    }

    fn failed(&self, reason: &str) -> StoreError {
        StoreError::Failed {
            store: self.shared.name.clone(),
            reason: reason.into(),
        }
    }
}

/// Which of the `live` sessions must end for one more, the oldest first; `None` if none may.
fn make_room(mut live: Vec<KeptSession>, cap: SessionCap) -> Option<Vec<KeptSession>> {
    let limit = usize::try_from(cap.limit.max(1)).unwrap_or(usize::MAX);
    let excess = (live.len() + 1).saturating_sub(limit);
    match cap.when_full {
        WhenFull::Refuse if excess > 0 => None,
        _ => {
            live.truncate(excess);
            Some(live)
        }
    }
}

fn audit(dimension: Dimension, value: &str, user: &User, cause: &str) -> Audit {
    Audit {
        dimension,
        issuer: user.issuer.clone(),
        value: value.into(),
        cause: Some(cause.into()),
        actor: None,
    }
}

/// How many records that a cutoff covers a user may have before some are deleted, and how many at a time.
const SPARE: usize = 100;

/// How many records a login looks at where it counts none.
const LOOKED_AT: usize = 10;

/// How many records one step forgets beside what it is about: other writes wait for it.
pub(super) const SLICE: usize = 256;

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);
