//! What happened in several processes of one host, and whether all of it was allowed to.
//!
//! Revocations and checks are recorded with the instants between which they happened. The judge
//! knows nothing of stores: it compares instants of one clock and tells which promises were broken.

mod coverage;
mod evidence;
mod judge;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

pub use self::{
    coverage::Revoked,
    evidence::Evidence,
    judge::{Promise, Rule, Violation},
};

/// An instant: the time since the host's monotonic clock began, the same for all of its processes.
pub type Instant = Duration;

/// The current instant.
pub fn now() -> Instant {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("it began at the boot");
    let nanos = u32::try_from(now.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanos)
}

/// Everything that happened, in any order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By their numbers.
    pub tokens: Vec<Token>,
    /// By their numbers.
    pub revocations: Vec<Revocation>,
    /// One after the other as they became known.
    pub checks: Vec<Check>,
}

/// A token of a session of a subject.
#[derive(Clone, Debug)]
pub struct Token {
    /// The number of its session.
    pub session: u32,
    /// The number of its subject.
    pub subject: u32,
    /// When it had been made: a cutoff of later covers it.
    pub made: Instant,
}

/// What is revoked, by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One token.
    Token(u32),
    /// All tokens of a session.
    Session(u32),
    /// All sessions that the subject has now.
    Subject(u32),
}

/// A call of `revoke`.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// Who called it.
    pub process: u32,
    /// What it names.
    pub target: Target,
    /// Before it was called.
    pub begun: Instant,
    /// After it had returned without an error. Without this it may be in force or not.
    pub acked: Option<Instant>,
}

/// A check of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Who checked.
    pub process: u32,
    /// The number of the token.
    pub token: u32,
    /// By which handle.
    pub asked: Asked,
    /// Before the check.
    pub begun: Instant,
    /// After the answer.
    pub ended: Instant,
    /// Whether it was answered from this process, without waiting.
    pub at_once: bool,
    /// What it said.
    pub answer: Answer,
}

/// By which consistency a check is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Asked {
    /// The store is asked.
    Strict,
    /// From the copy in the process, while it is fresh.
    Mirror,
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The token gives access.
    Accepted,
    /// 401: revoked.
    Revoked,
    /// 503.
    Unknown,
    /// Anything else, which no token of such a history deserves.
    Other(String),
}
