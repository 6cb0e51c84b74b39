//! The state machine of a session, as one pure function.
//!
//! A store runs [`rotate`] atomically: the embedded one inside its transaction, Redis as a script
//! that says the same in Lua. A test drives both with the same histories.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    defaults,
    session::{
        policy::{Policy, ReuseScope},
        record::{AttemptId, Identity, Record},
    },
    token::{ClientId, Jti, Subject},
};

/// A refresh token that somebody presents, its signature and claims verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Which of the session's refresh tokens it is: `gen`.
    pub generation: u64,
    /// Its `jti`.
    pub jti: Jti,
    /// The user it was issued to: `sub`.
    pub subject: Subject,
    /// The client it was issued to: `client_id`.
    pub client: ClientId,
    /// The client that presents it, where the request says so.
    pub presenter: Option<ClientId>,
}

/// What a successor would be: chosen by the caller, who has random numbers and policies; dated by the
/// store, which has the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The `jti` of the next refresh token.
    pub refresh: Jti,
    /// Base of the next access token's `jti`; see [`Identity::access`].
    pub access: Jti,
    /// How long the next access token lives.
    pub access_lifetime: Duration,
}

/// What happened to a presented token. The words are those of the design's table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Another client's token. Never revokes: a stranger must not be able to sign anyone out.
    Refused,
    /// A cutoff covers it. Nothing more happens: a replay must not end sessions opened later.
    Ended,
    /// There is no such session of the token's user.
    Unknown,
    /// The session's idle or absolute deadline has passed.
    Expired,
    /// The token is spent now, and this is its successor.
    Rotated(Identity),
    /// It was spent a moment ago; the same successor again.
    Retried(Identity),
    /// It was spent a moment ago and its successor too: a slow tab, not a thief.
    Superseded,
    /// The store lost a write in a failover and the line split: the session ends, never the user.
    Forked,
    /// The store lost a write: the record caught up, and this is the successor.
    Recovered(Identity),
    /// A spent token came back (RFC 9700 §4.14.2).
    Reused,
}

/// What a transition changes. All of it is committed in one atomic step, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// The record is replaced.
    Save(Box<Record>),
    /// The session's entry is written and its record deleted.
    EndSession,
    /// The same, and a cutoff at this instant is raised for the subject. It is at most
    /// [`MAX_CUTOFF_AHEAD`](defaults::MAX_CUTOFF_AHEAD) ahead of the store's clock, so a session of the
    /// user that was opened later still, by a clock that was ahead and has been put right, ends by an entry
    /// of its own.
    EndSubject(Timestamp),
}

/// Exchanges a refresh token for its successor, at most once.
///
/// `covered` tells whether a cutoff covers the token; `now` is the store's clock. First match wins.
pub fn rotate(
    record: Option<&Record>,
    covered: bool,
    presented: &Presented,
    attempt: AttemptId,
    proposal: &Proposal,
    now: Timestamp,
    policy: &Policy,
) -> (Outcome, Effect) {
    let quiet = |outcome| (outcome, Effect::Nothing);
    if presented
        .presenter
        .as_ref()
        .is_some_and(|presenter| *presenter != presented.client)
    {
        return quiet(Outcome::Refused);
    }
    if covered {
        return quiet(Outcome::Ended);
    }
    let Some(record) = record else {
        return quiet(Outcome::Unknown);
    };
    if record.client != presented.client {
        return quiet(Outcome::Refused);
    }
    // A genuine token names the user of its session. One that does not was made with a stolen key. It must
    // not end what another user has.
    if record.subject != presented.subject {
        return quiet(Outcome::Unknown);
    }
    // Clocks that step back must not make a spend younger than it is.
    let clock = now;
    let now = now.max(record.last_used_at);
    if now >= record.idle_deadline || now >= record.absolute_deadline {
        return quiet(Outcome::Expired);
    }
    if record.attempt == Some(attempt) {
        let identity = record.current.clone();
        let outcome = if record.recovered {
            Outcome::Recovered(identity)
        } else {
            Outcome::Rotated(identity)
        };
        return quiet(outcome);
    }
    match place(record, presented) {
        Place::Current => {
            let next = successor(record, attempt, proposal, now, policy);
            (
                Outcome::Rotated(next.current.clone()),
                Effect::Save(Box::new(next)),
            )
        }
        Place::Spent { spent_at, previous } if within(spent_at, now, policy.grace) => {
            // After a privilege change a retry must not bring forth a token again.
            if previous && record.privileges_changed_at < spent_at {
                quiet(Outcome::Retried(record.current.clone()))
            } else {
                quiet(Outcome::Superseded)
            }
        }
        Place::Spent { .. } => {
            // The last instant of the record may be that of a clock that was ahead and has been put
            // right: a cutoff up to there would keep the user out until then.
            let furthest = clock.saturating_add(defaults::MAX_CUTOFF_AHEAD);
            reused(now.min(furthest), policy)
        }
        Place::Foreign => (Outcome::Forked, Effect::EndSession),
        Place::Ahead => {
            let caught_up = catch_up(record, presented, now);
            let mut next = successor(&caught_up, attempt, proposal, now, policy);
            next.recovered = true;
            (
                Outcome::Recovered(next.current.clone()),
                Effect::Save(Box::new(next)),
            )
        }
    }
}

/// Where a presented token stands in the line of its session.
enum Place {
    Current,
    Spent { spent_at: Timestamp, previous: bool },
    Foreign,
    Ahead,
}

fn place(record: &Record, presented: &Presented) -> Place {
    let current = &record.current;
    let Some(age) = current.generation.checked_sub(presented.generation) else {
        return Place::Ahead;
    };
    match age {
        0 if presented.jti == current.refresh => Place::Current,
        0 => Place::Foreign,
        1 if record.previous.as_ref() != Some(&presented.jti) => Place::Foreign,
        age => {
            // Beyond what the record remembers, a spend is as old as can be.
            let index = usize::try_from(age - 1).unwrap_or(usize::MAX);
            let spent_at = record
                .spent_at
                .get(index)
                .copied()
                .unwrap_or(Timestamp::EPOCH);
            Place::Spent {
                spent_at,
                previous: age == 1,
            }
        }
    }
}

/// Whether a spend is so recent that a retry is honest. Never, with a grace of zero.
fn within(spent_at: Timestamp, now: Timestamp, grace: Duration) -> bool {
    now.saturating_since(spent_at) < grace
}

fn reused(cutoff: Timestamp, policy: &Policy) -> (Outcome, Effect) {
    let effect = match policy.reuse {
        ReuseScope::User => Effect::EndSubject(cutoff),
        ReuseScope::Session => Effect::EndSession,
        ReuseScope::Refuse => Effect::Nothing,
    };
    (Outcome::Reused, effect)
}

fn successor(
    record: &Record,
    attempt: AttemptId,
    proposal: &Proposal,
    now: Timestamp,
    policy: &Policy,
) -> Record {
    let idle_deadline = now
        .saturating_add(policy.idle_lifetime)
        .min(record.absolute_deadline);
    let generation = record.current.generation + 1;
    let current = Identity::dated(
        generation,
        proposal,
        now,
        idle_deadline,
        record.absolute_deadline,
    );
    let mut spent_at = record.spent_at;
    spent_at.rotate_right(1);
    spent_at[0] = now;
    Record {
        last_used_at: now,
        idle_deadline,
        previous: Some(record.current.refresh.clone()),
        current,
        spent_at,
        attempt: Some(attempt),
        recovered: false,
        ..record.clone()
    }
}

/// The record as it was before the store lost the writes that made `presented`. The generations
/// between are spent; nobody knows when, so as of now: an honest retry of one is not a theft.
fn catch_up(record: &Record, presented: &Presented, now: Timestamp) -> Record {
    let lost = usize::try_from(presented.generation - record.current.generation);
    let lost = lost.unwrap_or(usize::MAX).min(record.spent_at.len());
    let mut spent_at = record.spent_at;
    spent_at.rotate_right(lost);
    spent_at[..lost].fill(now);
    let mut caught_up = record.clone();
    caught_up.current.generation = presented.generation;
    caught_up.current.refresh = presented.jti.clone();
    caught_up.spent_at = spent_at;
    caught_up
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPENED: u64 = 1_700_000_000_000;
    const HOUR: u64 = 3_600_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(OPENED + millis)
    }

    fn policy() -> Policy {
        Policy::default()
    }

    fn opened() -> Record {
        let policy = policy();
        Record {
            subject: "alice".into(),
            entry: crate::revocation::Digest::from_bytes([0; 16]),
            client: "app".into(),
            device: None,
            opened_at: at(0),
            last_used_at: at(0),
            idle_deadline: at(0).saturating_add(policy.idle_lifetime),
            absolute_deadline: at(0).saturating_add(policy.absolute_lifetime),
            current: Identity {
                generation: 1,
                refresh: "r1".into(),
                access: "a1".into(),
                issued_at: at(0),
                refresh_expires_at: at(0).saturating_add(policy.idle_lifetime),
                access_expires_at: at(0),
            },
            previous: None,
            spent_at: [Timestamp::EPOCH; 4],
            attempt: None,
            recovered: false,
            privileges_changed_at: Timestamp::EPOCH,
        }
    }

    fn token(generation: u64, jti: &str) -> Presented {
        Presented {
            generation,
            jti: jti.into(),
            subject: "alice".into(),
            client: "app".into(),
            presenter: None,
        }
    }

    fn proposal(n: u128) -> Proposal {
        Proposal {
            refresh: format!("r-{n}").into(),
            access: format!("a-{n}").into(),
            access_lifetime: Duration::from_secs(900),
        }
    }

    /// One session as a store would keep it, and the clock.
    struct Line {
        record: Option<Record>,
        ended: bool,
        now: u64,
        attempts: u128,
        policy: Policy,
    }

    impl Line {
        fn new() -> Self {
            Self {
                record: Some(opened()),
                ended: false,
                now: 1000,
                attempts: 0,
                policy: policy(),
            }
        }

        fn present(&mut self, presented: &Presented) -> Outcome {
            self.attempts += 1;
            self.repeat(presented, self.attempts)
        }

        fn repeat(&mut self, presented: &Presented, attempt: u128) -> Outcome {
            let (outcome, effect) = rotate(
                self.record.as_ref(),
                self.ended,
                presented,
                AttemptId::from_bits(attempt),
                &proposal(attempt),
                at(self.now),
                &self.policy,
            );
            match effect {
                Effect::Nothing => {}
                Effect::Save(record) => self.record = Some(*record),
                Effect::EndSession | Effect::EndSubject(_) => {
                    self.record = None;
                    self.ended = true;
                }
            }
            outcome
        }

        fn live(&self) -> Presented {
            let current = &self.record.as_ref().expect("a live session").current;
            token(current.generation, current.refresh.as_str())
        }
    }

    #[test]
    fn s3_a_retry_within_the_grace_gets_the_same_successor() {
        let mut line = Line::new();
        let first = token(1, "r1");
        let Outcome::Rotated(identity) = line.present(&first) else {
            panic!("not rotated")
        };
        line.now += 29_999;
        let before = line.record.clone();
        assert_eq!(line.present(&first), Outcome::Retried(identity));
        assert_eq!(line.record, before);
    }

    #[test]
    fn s4_a_spent_token_after_the_grace_is_reuse_and_the_grace_does_not_slide() {
        let mut line = Line::new();
        let first = token(1, "r1");
        line.present(&first);
        line.now += 29_000;
        assert!(matches!(line.present(&first), Outcome::Retried(_)));
        line.now += 1000;
        assert_eq!(line.present(&first), Outcome::Reused);
        assert!(line.ended);
    }

    #[test]
    fn s4_an_ancestor_that_the_record_no_longer_remembers_is_reuse() {
        let mut line = Line::new();
        for _ in 0..10 {
            let live = line.live();
            assert!(matches!(line.present(&live), Outcome::Rotated(_)));
        }
        assert_eq!(line.present(&token(1, "r1")), Outcome::Reused);
    }

    #[test]
    fn s4_after_a_clock_that_was_ahead_the_users_cutoff_lies_no_further_than_one_may() {
        let mut record = opened();
        let day = Duration::from_secs(24 * 3600);
        record.last_used_at = at(0).saturating_add(day);
        record.current.generation = 9;
        let reuse = |record: &Record, now| {
            let (attempt, policy) = (AttemptId::from_bits(1), policy());
            let (presented, proposal) = (token(1, "r1"), proposal(1));
            rotate(
                Some(record),
                false,
                &presented,
                attempt,
                &proposal,
                now,
                &policy,
            )
        };
        let now = at(1000);
        let most = now.saturating_add(defaults::MAX_CUTOFF_AHEAD);
        let ended = |at| (Outcome::Reused, Effect::EndSubject(at));
        assert_eq!(reuse(&record, now), ended(most));
        record.last_used_at = at(3000);
        assert_eq!(reuse(&record, now), ended(at(3000)));
        assert_eq!(reuse(&record, at(4000)), ended(at(4000)));
    }

    #[test]
    fn s17_our_own_retry_is_no_reuse_even_without_a_grace() {
        let mut line = Line::new();
        line.policy.grace = Duration::ZERO;
        let first = token(1, "r1");
        let outcome = line.present(&first);
        assert_eq!(line.repeat(&first, line.attempts), outcome);
        assert_eq!(line.present(&first), Outcome::Reused);
    }

    #[test]
    fn s2_a_slow_tab_is_no_thief() {
        let mut line = Line::new();
        line.present(&token(1, "r1"));
        let live = line.live();
        line.present(&live);
        assert_eq!(line.present(&token(1, "r1")), Outcome::Superseded);
        assert!(!line.ended);
    }

    #[test]
    fn after_a_privilege_change_a_retry_gets_nothing_and_ends_nothing() {
        let mut line = Line::new();
        line.present(&token(1, "r1"));
        line.now += 10;
        line.record.as_mut().expect("live").privileges_changed_at = at(line.now);
        assert_eq!(line.present(&token(1, "r1")), Outcome::Superseded);
        assert!(!line.ended);
    }

    #[test]
    fn s12_another_clients_presentation_ends_nothing() {
        let mut line = Line::new();
        line.present(&token(1, "r1"));
        line.now += HOUR;
        let mut stolen = token(1, "r1");
        stolen.presenter = Some("mallory".into());
        assert_eq!(line.present(&stolen), Outcome::Refused);
        stolen.client = "mallory".into();
        assert_eq!(line.present(&stolen), Outcome::Refused);
        assert!(!line.ended);
    }

    #[test]
    fn s13_idle_and_absolute_deadlines_end_with_expired_and_not_with_theft() {
        let mut line = Line::new();
        line.now = u64::try_from(line.policy.idle_lifetime.as_millis()).unwrap();
        assert_eq!(line.present(&token(1, "r1")), Outcome::Expired);
        let mut line = Line::new();
        let end = u64::try_from(line.policy.absolute_lifetime.as_millis()).unwrap();
        while line.now < end {
            let live = line.live();
            let Outcome::Rotated(identity) = line.present(&live) else {
                panic!("not rotated")
            };
            assert!(identity.refresh_expires_at <= at(end));
            assert!(identity.access_expires_at <= at(end));
            line.now += 100 * HOUR;
        }
        assert_eq!(line.present(&token(1, "r1")), Outcome::Expired);
        assert!(!line.ended);
    }

    #[test]
    fn a_line_that_split_in_a_failover_ends_the_session_and_never_the_user() {
        let mut line = Line::new();
        line.present(&token(1, "r1"));
        let (outcome, effect) = rotate(
            line.record.as_ref(),
            false,
            &token(2, "lost"),
            AttemptId::from_bits(99),
            &proposal(99),
            at(line.now),
            &line.policy,
        );
        assert_eq!((outcome, effect), (Outcome::Forked, Effect::EndSession));
    }

    #[test]
    fn a_lost_write_is_recovered_forward_and_the_absolute_deadline_stays() {
        let mut line = Line::new();
        let before = line.record.clone().expect("live");
        let Outcome::Recovered(identity) = line.present(&token(3, "r3")) else {
            panic!("lost")
        };
        assert_eq!(identity.generation, 4);
        let after = line.record.clone().expect("live");
        assert_eq!(after.absolute_deadline, before.absolute_deadline);
        // The generations nobody remembers were spent just now, as far as anybody knows.
        assert_eq!(line.present(&token(1, "r1")), Outcome::Superseded);
        line.now += HOUR;
        assert_eq!(line.present(&token(2, "r2")), Outcome::Reused);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_make_a_spend_younger() {
        let mut line = Line::new();
        line.now = HOUR;
        line.present(&token(1, "r1"));
        let live = line.live();
        line.now = 0;
        let Outcome::Rotated(identity) = line.present(&live) else {
            panic!("not rotated")
        };
        assert_eq!(identity.issued_at, at(HOUR));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Presents the token that was handed out so many hand-outs ago.
        Present(usize),
        /// The same attempt again.
        Repeat,
        Wait(u64),
        /// The store falls back to a state of so many writes ago.
        Lose(usize),
        ChangePrivileges,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..6_usize).prop_map(Step::Present),
            2 => Just(Step::Repeat),
            3 => prop_oneof![Just(1), Just(15_000), Just(31_000), Just(HOUR * 50)].prop_map(Step::Wait),
            1 => (1..3_usize).prop_map(Step::Lose),
            1 => Just(Step::ChangePrivileges),
        ];
        prop::collection::vec(step, 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn random_histories_keep_the_invariants(steps in steps(), scope in 0..3_u8) {
            let mut line = Line::new();
            line.policy.reuse =
                [ReuseScope::User, ReuseScope::Session, ReuseScope::Refuse][usize::from(scope)];
            let mut handed = vec![token(1, "r1")];
            let mut states = vec![line.record.clone()];
            let mut last = token(1, "r1");
            for step in steps {
                let (presented, attempt) = match step {
                    Step::Wait(millis) => { line.now += millis; continue; }
                    Step::Lose(writes) if !line.ended => {
                        states.truncate(states.len().saturating_sub(writes).max(1));
                        line.record = states.last().cloned().flatten();
                        continue;
                    }
                    Step::Lose(_) => continue,
                    Step::ChangePrivileges => {
                        if let Some(record) = &mut line.record {
                            record.privileges_changed_at = at(line.now);
                        }
                        continue;
                    }
                    Step::Present(ago) => {
                        line.attempts += 1;
                        let index = handed.len().saturating_sub(1 + ago);
                        (handed[index].clone(), line.attempts)
                    }
                    Step::Repeat => (last.clone(), line.attempts),
                };
                let (before, was_ended) = (line.record.clone(), line.ended);
                let outcome = line.repeat(&presented, attempt);
                last = presented;
                // Dead stays quiet.
                if was_ended {
                    prop_assert_eq!(&outcome, &Outcome::Ended);
                    prop_assert_eq!(&line.record, &before);
                }
                match outcome {
                    Outcome::Rotated(identity) | Outcome::Recovered(identity) => {
                        let before = before.expect("rotated what was there");
                        let after = line.record.clone().expect("rotated what is there");
                        // Forward only, and never past the absolute deadline.
                        prop_assert!(identity.generation >= before.current.generation);
                        prop_assert_eq!(after.absolute_deadline, before.absolute_deadline);
                        prop_assert!(identity.refresh_expires_at <= after.absolute_deadline);
                        // At most one live successor: the record names the one handed out.
                        prop_assert_eq!(&after.current, &identity);
                        if Some(&after) != states.last().and_then(Option::as_ref) {
                            handed.push(token(identity.generation, identity.refresh.as_str()));
                            states.push(Some(after));
                        }
                    }
                    Outcome::Retried(identity) => {
                        prop_assert_eq!(&line.record, &before);
                        prop_assert_eq!(&before.expect("there").current, &identity);
                    }
                    Outcome::Reused if line.policy.reuse == ReuseScope::Refuse => {
                        prop_assert_eq!(&line.record, &before);
                    }
                    Outcome::Reused | Outcome::Forked => prop_assert!(line.ended),
                    _ => prop_assert_eq!(&line.record, &before),
                }
            }
        }
    }
}
