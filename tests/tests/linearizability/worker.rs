//! This test program once more, as a process of a fleet: it revokes what it is told to, and checks all the
//! time, by a strict and by a mirrored handle.

use std::{
    cell::RefCell,
    collections::VecDeque,
    env,
    io::{BufRead as _, Write as _},
    time::Duration,
};

use jwt_revoke_core::{
    Denied, Guard, Issuer,
    guard::{Checked, Consistency, Target},
    store::{RedisStore, Store},
    verify::SigningKey,
};
use jwt_revoke_tests::history::{Answer, Asked, Check, Instant, now};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{sleep, timeout},
};

use crate::liar::{Liar, Lie};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "api";
/// Longer than any run.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The variable that makes a process a worker.
pub(crate) const VARIABLE: &str = "LINEARIZABILITY_WORKER";

/// What a worker is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) process: u32,
    /// The address of the store.
    pub(crate) store: String,
    /// The text of the key file.
    pub(crate) key: String,
    pub(crate) max_staleness: Duration,
    pub(crate) healing: Duration,
    pub(crate) seed: u64,
    /// How its store deceives it.
    pub(crate) lie: Option<Lie>,
}

/// What a worker is told, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// There is this token.
    Token { number: u32, text: String },
    /// Check it soon, and often for a while.
    Look(u32),
    /// Revoke this.
    Revoke { number: u32, what: What },
}

/// What to revoke.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    Jti { jti: String, subject: String },
    Session { session: String, subject: String },
    Subject(String),
}

/// What a worker says, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Acked { number: u32, at: Instant },
    Failed { number: u32, why: String },
    Checked(Check),
}

impl Said {
    /// What a line says. A line that was cut off by a kill says nothing.
    pub(crate) fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(PREFIX)?).ok()
    }

    fn say(&self) {
        let said = serde_json::to_string(self).unwrap();
        // In one write, so that a line is there as a whole or not at all.
        let line = format!("\n{PREFIX}{said}\n");
        let mut out = std::io::stdout().lock();
        let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        if written.is_err() {
            std::process::exit(1);
        }
    }
}

impl From<What> for Target {
    fn from(what: What) -> Self {
        match what {
            What::Jti { jti, subject } => Self::jti(jti).of(subject),
            What::Session { session, subject } => Self::session(session).of(subject),
            What::Subject(subject) => Self::subject(subject),
        }
    }
}

#[test]
#[ignore = "the other tests run it as a process of its own"]
fn worker() {
    let Ok(settings) = env::var(VARIABLE) else {
        return;
    };
    let settings: Settings = serde_json::from_str(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(settings));
}

async fn work(settings: Settings) {
    let store = RedisStore::builder(&settings.store)
        .with_healing(settings.healing)
        // Long enough for a loaded machine.
        .with_check_timeout(Duration::from_millis(200))
        .connect_lazily()
        .unwrap();
    match settings.lie {
        None => guarded(settings, store).await,
        Some(lie) => guarded(settings, Liar::new(store, lie)).await,
    }
}

async fn guarded(settings: Settings, store: impl Store) {
    let key = SigningKey::from_key_file(&settings.key).unwrap();
    let issuer = Issuer::new(key, ISSUER, AUDIENCE).with_lifetime(LIFETIME);
    let guard = Guard::new(issuer.verifier(), store);
    let worker = Worker {
        process: settings.process,
        strict: guard.strict(),
        mirror: guard.with_consistency(Consistency::mirror(settings.max_staleness)),
        tokens: RefCell::new(Tokens::new(settings.seed)),
    };
    tokio::select! {
        () = worker.listen(lines()) => {}
        () = worker.check_all(Asked::Strict) => {}
        () = worker.check_all(Asked::Mirror) => {}
    }
}

/// The lines of the standard input; they end with the parent.
fn lines() -> UnboundedReceiver<String> {
    let (send, lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

struct Worker {
    process: u32,
    strict: Guard,
    mirror: Guard,
    tokens: RefCell<Tokens>,
}

impl Worker {
    async fn listen(&self, mut lines: UnboundedReceiver<String>) {
        while let Some(line) = lines.recv().await {
            match serde_json::from_str(&line).unwrap() {
                Told::Token { number, text } => self.tokens.borrow_mut().add(number, text),
                Told::Look(number) => self.tokens.borrow_mut().look(number),
                Told::Revoke { number, what } => {
                    let guard = self.strict.clone();
                    let patience = self.tokens.borrow_mut().patience();
                    tokio::spawn(async move {
                        // A client that hangs up gets no answer, and what it began may be done or not.
                        let revoked = timeout(patience, guard.revoke(what.into())).await;
                        let at = now();
                        let why = match revoked {
                            Ok(Ok(_)) => return Said::Acked { number, at }.say(),
                            Ok(Err(error)) => error.to_string(),
                            Err(_) => "the client hung up".to_owned(),
                        };
                        Said::Failed { number, why }.say();
                    });
                }
            }
        }
    }

    async fn check_all(&self, asked: Asked) {
        loop {
            let next = self.tokens.borrow_mut().next(asked);
            if let Some((number, text)) = next {
                Said::Checked(self.check(asked, number, &text).await).say();
            }
            sleep(PACE).await;
        }
    }

    async fn check(&self, asked: Asked, token: u32, text: &str) -> Check {
        let guard = match asked {
            Asked::Strict => &self.strict,
            Asked::Mirror => &self.mirror,
        };
        let begun = now();
        let (at_once, decision) = match guard.check(text) {
            Checked::Now(decision) => (true, decision),
            Checked::Later(decision) => (false, decision.await),
        };
        let answer = match decision {
            Ok(_) => Answer::Accepted,
            Err(Denied::Revoked { .. }) => Answer::Revoked,
            Err(Denied::StoreUnavailable(_)) => Answer::Unknown,
            Err(other) => Answer::Other(format!("{}: {other}", other.status())),
        };
        Check {
            process: self.process,
            token,
            asked,
            begun,
            ended: now(),
            at_once,
            answer,
        }
    }
}

/// The tokens that a worker knows, and which to check next.
struct Tokens {
    all: Vec<(u32, String)>,
    /// To be checked next: by the strict handle, by the mirrored one.
    asked_for: [VecDeque<u32>; 2],
    /// Asked for lately.
    hot: VecDeque<u32>,
    random: fastrand::Rng,
}

impl Tokens {
    fn new(seed: u64) -> Self {
        Self {
            all: Vec::new(),
            asked_for: Default::default(),
            hot: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How long a client waits for its revocation: one in eight hangs up at once, or nearly.
    fn patience(&mut self) -> Duration {
        match self.random.u8(..8) {
            0 => Duration::from_micros(self.random.u64(..3_000)),
            _ => Duration::MAX,
        }
    }

    /// They come in the order of their numbers.
    fn add(&mut self, number: u32, text: String) {
        self.all.push((number, text));
    }

    fn look(&mut self, number: u32) {
        for queue in &mut self.asked_for {
            queue.push_back(number);
        }
        if self.hot.len() >= HOT {
            self.hot.pop_front();
        }
        self.hot.push_back(number);
    }

    /// What was asked for first, then in turn what was asked for lately, what is new, and anything.
    fn next(&mut self, asked: Asked) -> Option<(u32, String)> {
        let first = self.asked_for[asked as usize].pop_front();
        let hot = || {
            let count = self.hot.len();
            let lately = (count > 0 && self.random.bool()).then(|| self.random.usize(..count));
            lately.map(|at| self.hot[at])
        };
        if let Some(number) = first.or_else(hot) {
            let at = self
                .all
                .binary_search_by_key(&number, |(number, _)| *number);
            return Some(self.all[at.ok()?].clone());
        }
        let new = self.all.len().saturating_sub(NEW);
        let from = if self.random.bool() { new } else { 0 };
        (!self.all.is_empty()).then(|| self.all[self.random.usize(from..self.all.len())].clone())
    }
}

/// Between two checks of a handle.
const PACE: Duration = Duration::from_millis(5);

const HOT: usize = 12;

const NEW: usize = 200;

const PREFIX: &str = "> ";
