//! Random histories of sessions, in a store and in the [`Model`], compared step by step.
//!
//! The store may run on a clock that nobody can stop. So the claim is that there is one instant,
//! between the store's clock before a step and after it, at which the model gives the same answer and
//! is left in the same state. What the store wrote tells which instant to try first. Where a step
//! writes none, nothing depends on it, because boundaries are far: a grace is nothing or an hour, a
//! deadline far away or past. Only in a world whose clock can be moved are they met.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::join_all;
use jwt_revoke_core::{
    Timestamp, defaults,
    revocation::{ClaimName, Cutoff, Digest, Dimension},
    session::{AttemptId, Outcome, Policy, Presented, Record, ReuseScope, SessionCap, WhenFull},
    store::{Lookup, Opened, Reach, Revocation, Store},
    token::SessionId,
};

use crate::{
    model::Model,
    sessions::{Ask, Line, NOW, User, Verb, end_all, handed, list, mark_privileges, token},
};

/// Where histories happen.
pub trait World: Sync {
    /// The store under test; it may hold anything, since each history has users of its own.
    type Store: Store;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// What the store's clock shows, or showed a moment ago.
    fn shown(&self) -> impl Future<Output = Timestamp> + Send {
        async {
            let later = self.store().earliest_now().await.unwrap();
            later.saturating_sub(Duration::from_millis(1))
        }
    }

    /// Moves the store's clock, where it can be moved.
    fn wait(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Whether it can.
    const CLOCK_CAN_BE_MOVED: bool;
}

/// Runs so many histories, others in every run, in which every word is answered.
///
/// # Panics
///
/// When store and model differ, where the message holds the history and its seed, or when a word was
/// never answered.
pub async fn histories<W: World>(world: &W, count: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = now.as_nanos() as u64;
    let mut seen = Seen::new();
    for n in 0..count {
        let mut history = History::new(world, seed.wrapping_add(n * 0x9E37_79B9));
        for _ in 0..STEPS {
            history.step(&mut seen).await;
        }
    }
    for word in WORDS {
        assert!(seen.contains_key(word), "{word} not among {seen:?}");
    }
}

/// How often each word was answered.
type Seen = BTreeMap<String, u32>;

/// How long a history is.
const STEPS: usize = 80;

/// Every word that a store can answer.
const WORDS: [&str; 18] = [
    "Ended Some",
    "Ended None",
    "EndedAll None",
    "Outcome Refused",
    "Outcome Ended",
    "Outcome Unknown",
    "Outcome Expired",
    "Outcome Rotated",
    "Outcome Retried",
    "Outcome Superseded",
    "Outcome Forked",
    "Outcome Recovered",
    "Outcome Reused",
    "Opened Opened",
    "Opened Stale",
    "Opened Revoked",
    "Opened OpenAt",
    "Opened Full",
];

struct History<'a, W> {
    world: &'a W,
    dice: Dice,
    seed: u64,
    model: Model,
    users: [User; 2],
    lines: Vec<Held>,
    last: Option<Step>,
    /// The attempts that ended a session, and what they were answered.
    ending: Vec<(AttemptId, Outcome)>,
    log: Vec<String>,
}

/// What a client holds of a session.
struct Held {
    line: Line,
    since: Timestamp,
    cap: Option<SessionCap>,
    tokens: Vec<Presented>,
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Present {
        of: usize,
        presented: Presented,
        ask: Ask,
        verb: Verb,
    },
    End {
        of: usize,
        owner: usize,
    },
    EndOthers(usize),
    EndAll(usize),
    MarkPrivileges(usize),
    Revoke(usize, Revocation),
    Wait(Duration),
}

#[derive(Debug, PartialEq)]
enum Answer {
    Opened(Opened),
    Outcome(Outcome),
    Ended(Option<Vec<SessionId>>),
    EndedAll(Option<Cutoff>),
    Nothing,
}

impl<'a, W: World> History<'a, W> {
    fn new(world: &'a W, seed: u64) -> Self {
        let user = |name| User::new(&format!("{name}-{seed}"));
        Self {
            world,
            dice: Dice(seed | 1),
            seed,
            model: Model::default(),
            users: [user("alice"), user("bob")],
            lines: Vec::new(),
            last: None,
            ending: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn step(&mut self, seen: &mut Seen) {
        let step = match self.last.clone() {
            Some(last) if self.dice.one_in(8) => last,
            _ => self.choose().await,
        };
        self.log.push(format!("{step:?}"));
        let user = self.user_of(&step).clone();
        // What was dated ahead takes the cutoffs along, and not the clock by which sessions are used.
        let now = self.now(&user).await;
        let before = now.min(self.world.shown().await);
        let answer = self.ask_store(&step).await;
        let answer = self.as_first(&step, answer);
        let (after, shown) = (self.reach(&user).await, self.world.shown().await);
        let listed = list(self.world.store(), &user).await;

        let entries = self.entries().await;
        let explained = self
            .instants(&user, (before, after), &answer, &listed)
            .await
            .find_map(|now| {
                let mut model = self.model.clone();
                let expected = self.ask(&mut model, &step, now);
                let is_same = expected == answer
                    && model.list(&user, shown) == listed
                    && entries
                        .iter()
                        .all(|(digest, found)| model.cutoff(digest) == *found);
                is_same.then_some(model)
            });
        let Some(model) = explained else {
            self.explain(&step, before, &answer, &user, &listed, &entries);
        };
        self.model = model;
        *seen.entry(word(&answer)).or_default() += 1;
        self.learn(&step, &answer);
        self.last = Some(step);
    }

    /// When the step may have happened: an instant that it left as a trace first, the latest of them
    /// before all, then every other between the two looks at the clock. A trace may lie: a session that
    /// was opened ahead of the clock says an instant that has only now come.
    async fn instants(
        &self,
        user: &User,
        (before, after): (Timestamp, Timestamp),
        answer: &Answer,
        listed: &[(SessionId, Record)],
    ) -> impl Iterator<Item = Timestamp> + use<W> {
        let mut traces = vec![];
        for (_, record) in listed {
            traces.extend([record.last_used_at, record.privileges_changed_at]);
        }
        // Of a look, and of a rotation to a deadline that has passed, only the second is seen, and
        // only the second matters.
        if let Answer::Outcome(Outcome::Rotated(identity) | Outcome::Recovered(identity)) = answer {
            traces.push(identity.issued_at);
        }
        if let Answer::Opened(Opened::OpenAt(instant)) = answer {
            traces.push(*instant);
        }
        for digest in [user.digest, user.others, team(user).digest] {
            if let Some(Cutoff::At(cutoff)) = self.find(user, digest).await {
                traces.push(cutoff);
                // Of a reuse that was found in a session of a clock that was ahead.
                traces.push(cutoff.saturating_sub(defaults::MAX_CUTOFF_AHEAD));
            }
        }
        traces.retain(|trace| (before..=after).contains(trace));
        traces.sort();
        let all = before.as_millis()..=after.as_millis();
        traces
            .into_iter()
            .rev()
            .chain(all.map(Timestamp::from_millis))
    }

    async fn choose(&mut self) -> Step {
        let dice = &mut self.dice;
        if self.lines.is_empty() || (self.lines.len() < 8 && dice.one_in(6)) {
            return self.login().await;
        }
        let of = dice.roll(self.lines.len());
        let at = self.lines[of].line.user.clone();
        match dice.roll(40) {
            0..3 => Step::End {
                of,
                owner: dice.roll(self.users.len()),
            },
            3 => Step::EndOthers(of),
            18 if dice.one_in(2) => Step::EndAll(of),
            4..7 => Step::MarkPrivileges(dice.roll(self.users.len())),
            7 => Step::Revoke(of, at.revocation()),
            8 => Step::Revoke(of, team(&at)),
            9 if dice.one_in(4) => {
                let mut team = team(&at);
                team.reach = Reach::Forever;
                Step::Revoke(of, team)
            }
            10 => {
                let sid = self.lines[of].line.session.as_str();
                let entry = at.revocation_of(&Dimension::Session, sid, Reach::Forever);
                Step::Revoke(of, entry)
            }
            11..18 if W::CLOCK_CAN_BE_MOVED => {
                let seconds = [0, 1, 29, 30, 3599, 3600, 86_400, 6 * 86_400];
                let seconds = seconds[dice.roll(seconds.len())];
                let millis = dice.roll(3) as u64;
                Step::Wait(Duration::from_millis(seconds * 1000 + millis))
            }
            _ => Step::Present {
                of,
                presented: self.token(of),
                ask: Ask::new(self.policy()),
                verb: match self.dice.roll(10) {
                    0..2 => Verb::Look,
                    2..4 => Verb::Judge,
                    _ => Verb::Rotate,
                },
            },
        }
    }

    async fn login(&mut self) -> Step {
        let user = self.users[self.dice.roll(self.users.len())].clone();
        let now = self.now(&user).await;
        let seconds = Duration::from_secs;
        let opened_at = match self.dice.roll(12) {
            0 => now.saturating_sub(seconds(3600)),
            1 => now.saturating_add(seconds(3600)),
            2 => now.saturating_sub(seconds(20)),
            3 => now.saturating_add(seconds(2)),
            _ => now,
        };
        let since = match self.dice.roll(6) {
            0 => now.saturating_sub(seconds(10)),
            _ => now,
        };
        let mut line = Line::new(&user, opened_at, &self.policy());
        line.covering.push(team(&user).digest);
        if self.dice.one_in(12) {
            // As a clock leaves it that was ahead and has been put right.
            let (record, ahead) = (&mut line.record, seconds(86_400));
            record.last_used_at = record.last_used_at.saturating_add(ahead);
            let idle_deadline = record.idle_deadline.saturating_add(ahead);
            record.idle_deadline = idle_deadline.min(record.absolute_deadline);
        }
        let when_full = [WhenFull::EvictOldest, WhenFull::Refuse][self.dice.roll(2)];
        let limit = self.dice.roll(4) as u32;
        let cap = self
            .dice
            .one_in(3)
            .then_some(SessionCap { limit, when_full });
        self.lines.push(Held {
            tokens: vec![line.first()],
            line,
            since,
            cap,
        });
        Step::Open(self.lines.len() - 1)
    }

    fn token(&mut self, of: usize) -> Presented {
        let tokens = &self.lines[of].tokens;
        let latest = tokens[tokens.len() - 1].clone();
        let mut any = tokens[self.dice.roll(tokens.len())].clone();
        let number = self.dice.roll(1000);
        match self.dice.roll(25) {
            0 => token(any.generation, &format!("split-{number}")),
            1 => {
                let ahead = 1 + self.dice.roll(6) as u64;
                token(latest.generation + ahead, &format!("lost-{number}"))
            }
            2 => {
                any.presenter = Some("mallory".into());
                any
            }
            3 => {
                any.client = "mallory".into();
                any
            }
            4 => {
                any.subject = "mallory".into();
                any
            }
            5..12 => any,
            12..15 => tokens[tokens.len().saturating_sub(2)].clone(),
            _ => latest,
        }
    }

    fn policy(&mut self) -> Policy {
        let far = W::CLOCK_CAN_BE_MOVED;
        let mut policy = Policy::default();
        policy.grace = match self.dice.roll(4) {
            0 => Duration::ZERO,
            1 if far => Duration::from_secs(30),
            _ => Duration::from_secs(3600),
        };
        policy.reuse = match self.dice.roll(8) {
            0 => ReuseScope::User,
            1..3 => ReuseScope::Session,
            _ => ReuseScope::Refuse,
        };
        match self.dice.roll(20) {
            0 => policy.idle_lifetime = Duration::ZERO,
            1 if far => policy.idle_lifetime = Duration::from_secs(3600),
            _ => {}
        }
        policy
    }

    async fn ask_store(&self, step: &Step) -> Answer {
        let store = self.world.store();
        match step {
            Step::Open(of) => {
                let Held {
                    line, since, cap, ..
                } = &self.lines[*of];
                Answer::Opened(line.ask(store, *since, *cap).await)
            }
            Step::Present {
                of,
                presented,
                ask,
                verb,
            } => {
                let line = &self.lines[*of].line;
                let outcome = line.present(store, presented, ask, *verb).await;
                Answer::Outcome(outcome.unwrap())
            }
            Step::End { of, owner } => {
                let line = &self.lines[*of].line;
                Answer::Ended(Some(line.end(store, &self.users[*owner]).await))
            }
            Step::EndOthers(of) => {
                let line = &self.lines[*of].line;
                let mut ended = line.end_others(store).await;
                ended.iter_mut().for_each(|ended| ended.sort());
                Answer::Ended(ended)
            }
            Step::EndAll(of) => {
                let ended = end_all(store, &self.lines[*of].line.user).await;
                Answer::EndedAll(ended.before)
            }
            Step::MarkPrivileges(user) => {
                mark_privileges(store, &self.users[*user]).await;
                Answer::Nothing
            }
            Step::Revoke(_, entry) => {
                store.revoke(std::slice::from_ref(entry)).await.unwrap();
                Answer::Nothing
            }
            Step::Wait(by) => {
                self.world.wait(*by).await;
                Answer::Nothing
            }
        }
    }

    /// A store whose answers can be lost repeats to the attempt that ended a session what it answered then,
    /// where the pure function, which knows only that the session has ended, says so.
    fn as_first(&mut self, step: &Step, answer: Answer) -> Answer {
        let (
            Step::Present {
                ask,
                verb: Verb::Judge | Verb::Rotate,
                ..
            },
            Answer::Outcome(outcome),
        ) = (step, &answer)
        else {
            return answer;
        };
        let ends = match outcome {
            Outcome::Forked => true,
            Outcome::Reused => ask.policy.reuse != ReuseScope::Refuse,
            _ => false,
        };
        if !ends {
            return answer;
        }
        let first = (ask.attempt, outcome.clone());
        if self.ending.contains(&first) {
            return Answer::Outcome(Outcome::Ended);
        }
        self.ending.push(first);
        answer
    }

    fn ask(&self, model: &mut Model, step: &Step, now: Timestamp) -> Answer {
        match step {
            Step::Open(of) => {
                let Held {
                    line, since, cap, ..
                } = &self.lines[*of];
                Answer::Opened(model.open(line, *since, *cap, now))
            }
            Step::Present {
                of,
                presented,
                ask,
                verb,
            } => {
                let line = &self.lines[*of].line;
                Answer::Outcome(model.rotate(line, presented, ask, *verb, now))
            }
            Step::End { of, owner } => {
                let line = &self.lines[*of].line;
                Answer::Ended(Some(model.end(line, &self.users[*owner])))
            }
            Step::EndOthers(of) => {
                let mut ended = model.end_others(&self.lines[*of].line, now);
                ended.iter_mut().for_each(|ended| ended.sort());
                Answer::Ended(ended)
            }
            Step::EndAll(of) => {
                let (_, before) = model.end_all(&self.lines[*of].line.user, now);
                Answer::EndedAll(before)
            }
            Step::MarkPrivileges(user) => {
                model.mark_privileges(&self.users[*user], now);
                Answer::Nothing
            }
            Step::Revoke(_, entry) => {
                let cutoff = entry.reach.cutoff(now).unwrap();
                model.revoke(entry.digest, cutoff);
                Answer::Nothing
            }
            Step::Wait(_) => Answer::Nothing,
        }
    }

    /// All entries that there can be, as the store has them.
    async fn entries(&self) -> Vec<(Digest, Option<Cutoff>)> {
        let of_users = self.users.iter().flat_map(|user| {
            [user.digest, user.others, team(user).digest].map(|digest| (user, digest))
        });
        let of_lines = self.lines.iter().flat_map(|Held { line, .. }| {
            [line.entry, line.kept].map(|digest| (&line.user, digest))
        });
        // All at the same time: it is most of what a history takes.
        let entries = of_users.chain(of_lines).map(async |(user, digest)| {
            let found = self.find(user, digest).await;
            (digest, found)
        });
        join_all(entries).await
    }

    /// Says how the store differs from the model of one instant.
    fn explain(
        &self,
        step: &Step,
        now: Timestamp,
        answer: &Answer,
        user: &User,
        listed: &[(SessionId, Record)],
        entries: &[(Digest, Option<Cutoff>)],
    ) -> ! {
        let mut model = self.model.clone();
        assert_eq!(*answer, self.ask(&mut model, step, now), "{}", self.told());
        assert_eq!(listed, model.list(user, now), "{}", self.told());
        for (digest, found) in entries {
            assert_eq!(*found, model.cutoff(digest), "{digest} {}", self.told());
        }
        panic!("no one instant explains the step: {}", self.told());
    }

    /// What the client holds then.
    fn learn(&mut self, step: &Step, answer: &Answer) {
        let (
            Step::Present {
                of,
                verb: Verb::Rotate,
                ..
            },
            Answer::Outcome(outcome),
        ) = (step, answer)
        else {
            return;
        };
        if let Some(presented) = handed(outcome) {
            let tokens = &mut self.lines[*of].tokens;
            if tokens.last() != Some(&presented) {
                tokens.push(presented);
            }
        }
    }

    fn user_of(&self, step: &Step) -> &User {
        match step {
            Step::Open(of)
            | Step::Present { of, .. }
            | Step::End { of, .. }
            | Step::EndOthers(of)
            | Step::EndAll(of)
            | Step::Revoke(of, _) => &self.lines[*of].line.user,
            Step::MarkPrivileges(user) => &self.users[*user],
            Step::Wait(_) => &self.users[0],
        }
    }

    async fn now(&self, user: &User) -> Timestamp {
        self.world.store().now(user.shard).await.unwrap()
    }

    /// The latest instant that a step so far may have dated: that of a cutoff written now.
    async fn reach(&self, user: &User) -> Timestamp {
        let cutoff = self.world.store().revoke(&[]).await.unwrap().at;
        self.now(user).await.max(cutoff)
    }

    async fn find(&self, user: &User, digest: Digest) -> Option<Cutoff> {
        let digests = [digest];
        let query = Lookup::new(user.shard, &digests);
        self.world.store().lookup(&query).await.unwrap().highest()
    }

    fn told(&self) -> String {
        let log = self.log.join("\n");
        format!("seed {}, after\n{log}", self.seed)
    }
}

/// A revocation, up to now, of a claim that all sessions of a user carry.
fn team(user: &User) -> Revocation {
    let team = Dimension::Claim(ClaimName::new("team").unwrap());
    user.revocation_of(&team, user.subject.as_str(), NOW)
}

fn word(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    let (first, second) = (words.next(), words.next());
    format!("{} {}", first.unwrap_or(""), second.unwrap_or(""))
}

/// Pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}
