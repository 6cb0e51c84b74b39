//! Processes that share a store, each behind a proxy of its own, and the record of what they did.

mod verdict;

use std::{
    env,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use jwt_revoke_core::{
    Clock as _, SystemClock,
    token::{Jti, SessionId},
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::{
    history::{History, Instant, Revocation, Target, Token, now},
    proxy::{Fault, Proxy},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::sleep,
};

use crate::{
    liar::Lie,
    worker::{AUDIENCE, ISSUER, LIFETIME, Said, Settings, Told, VARIABLE, What},
};

/// Processes that share a store.
pub(crate) struct Fleet {
    seed: u64,
    key: SigningKey,
    settings: Settings,
    proxies: Vec<Proxy>,
    shared: Arc<Shared>,
}

/// What is written down, and by whom.
struct Shared {
    record: Mutex<Record>,
    /// Those who live, in the order of their proxies.
    workers: Mutex<Vec<Worker>>,
}

#[derive(Default)]
struct Record {
    history: History,
    /// The text and the names of each token.
    tokens: Vec<Minted>,
    /// What was done to whom, and when.
    faults: Vec<(Instant, String)>,
    random: fastrand::Rng,
    sessions: u32,
    processes: u32,
}

#[derive(Clone)]
struct Minted {
    text: String,
    jti: String,
    session: String,
    subject: String,
}

struct Worker {
    process: u32,
    /// Killed when dropped.
    child: Child,
    tell: UnboundedSender<Told>,
}

/// How a fleet reaches its store.
pub(crate) enum Reach {
    /// Each by a proxy to this port.
    Proxies(u16),
    /// At this address.
    Address(String),
}

impl Fleet {
    /// `WORKERS` processes that begin to check.
    pub(crate) async fn start(seed: u64, reach: Reach, lie: Option<Lie>) -> Self {
        let key = SigningKey::generate(Algorithm::HS256).unwrap();
        let mut proxies = Vec::new();
        let mut store = String::new();
        match reach {
            Reach::Proxies(port) => {
                for _ in 0..WORKERS {
                    proxies.push(Proxy::start(port).await);
                }
            }
            Reach::Address(address) => store = address,
        }
        let settings = Settings {
            process: 0,
            store,
            key: key.to_key_file().to_string(),
            max_staleness: MAX_STALENESS,
            healing: HEALING,
            seed,
            lie,
        };
        let record = Record {
            random: fastrand::Rng::with_seed(seed),
            ..Record::default()
        };
        let fleet = Self {
            seed,
            key,
            settings,
            proxies,
            shared: Arc::new(Shared {
                record: Mutex::new(record),
                workers: Mutex::default(),
            }),
        };
        for _ in 0..SUBJECTS * 3 {
            fleet.mint();
        }
        {
            let mut workers = fleet.shared.workers.lock().unwrap();
            workers.extend((0..WORKERS).map(|slot| fleet.worker(slot)));
        }
        fleet.until_all_accept().await;
        fleet
    }

    /// A process behind the proxy `slot`.
    fn worker(&self, slot: usize) -> Worker {
        let mut record = self.shared.record.lock().unwrap();
        let process = record.processes;
        record.processes += 1;
        let mut settings = self.settings.clone();
        settings.process = process;
        settings.seed = self.seed.wrapping_add(u64::from(process));
        if let Some(proxy) = self.proxies.get(slot) {
            settings.store = format!("redis://127.0.0.1:{}", proxy.port());
        }
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "worker::worker", "--ignored", "--nocapture"])
            .arg("--test-threads=1")
            .env(VARIABLE, serde_json::to_string(&settings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (tell, mut told) = unbounded_channel::<Told>();
        let mut stdin = child.stdin.take().unwrap();
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                let line = format!("{}\n", serde_json::to_string(&told).unwrap());
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let stdout = child.stdout.take().unwrap();
        tokio::spawn(Arc::clone(&self.shared).listen(stdout));
        for (number, token) in (0..).zip(&record.tokens) {
            let text = token.text.clone();
            let _ = tell.send(Told::Token { number, text });
        }
        Worker {
            process,
            child,
            tell,
        }
    }

    /// A session of some subject, with two tokens that everybody is told.
    fn mint(&self) {
        // In the order of these locks everywhere.
        let workers = self.shared.workers.lock().unwrap();
        let mut record = self.shared.record.lock().unwrap();
        let subject = record.random.u32(..SUBJECTS);
        let session = record.sessions;
        record.sessions += 1;
        let opened_at = SystemClock::new().now();
        let id = SessionId::opened_at(opened_at);
        for _ in 0..2 {
            let jti = Jti::made_at(opened_at);
            let name = format!("user-{subject}");
            let seconds = opened_at.whole_seconds();
            let claims = json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": name, "sid": id.as_str(), "jti": jti.as_str(),
                "client_id": "app", "iat": seconds, "exp": seconds + LIFETIME.as_secs(),
            });
            let text = self.key.sign("at+jwt", &claims).unwrap();
            let number = u32::try_from(record.tokens.len()).unwrap();
            for worker in &*workers {
                let text = text.clone();
                let _ = worker.tell.send(Told::Token { number, text });
            }
            record.tokens.push(Minted {
                text,
                jti: jti.to_string(),
                session: id.to_string(),
                subject: name,
            });
            record.history.tokens.push(Token {
                session,
                subject,
                made: now(),
            });
        }
    }

    /// Has some process revoke something.
    fn revoke(&self) {
        let workers = self.shared.workers.lock().unwrap();
        let mut record = self.shared.record.lock().unwrap();
        let count = u32::try_from(record.tokens.len()).unwrap();
        let token = record.random.u32(..count);
        let minted = record.tokens[token as usize].clone();
        let Token {
            session, subject, ..
        } = record.history.tokens[token as usize];
        let (target, what) = match record.random.u8(..8) {
            0..=4 => (
                Target::Token(token),
                What::Jti {
                    jti: minted.jti,
                    subject: minted.subject,
                },
            ),
            5 | 6 => (
                Target::Session(session),
                What::Session {
                    session: minted.session,
                    subject: minted.subject,
                },
            ),
            _ => (Target::Subject(subject), What::Subject(minted.subject)),
        };
        let worker = &workers[record.random.usize(..workers.len())];
        let number = u32::try_from(record.history.revocations.len()).unwrap();
        record.history.revocations.push(Revocation {
            process: worker.process,
            target,
            begun: now(),
            acked: None,
        });
        let _ = worker.tell.send(Told::Revoke { number, what });
    }

    /// Revokes and mints for ever.
    pub(crate) async fn load(&self) {
        loop {
            for _ in 0..3 {
                self.revoke();
                sleep(Duration::from_millis(50)).await;
            }
            self.mint();
        }
    }

    /// Writes down what is done to whom.
    pub(crate) fn note(&self, what: impl Into<String>) {
        let mut record = self.shared.record.lock().unwrap();
        record.faults.push((now(), what.into()));
    }

    /// Puts some of the processes, but not all, behind a fault of the network.
    pub(crate) async fn partition(
        &self,
        random: &mut fastrand::Rng,
        fault: Fault,
        lasts: Duration,
    ) {
        let mut slots: Vec<_> = (0..self.proxies.len()).collect();
        random.shuffle(&mut slots);
        slots.truncate(random.usize(1..self.proxies.len()));
        self.note(format!("{fault:?} before {slots:?} for {lasts:?}"));
        for slot in &slots {
            self.proxies[*slot].set(fault);
        }
        sleep(lasts).await;
        for slot in &slots {
            self.proxies[*slot].set(Fault::None);
        }
    }

    /// Stops a process in its tracks for a while.
    pub(crate) async fn pause(&self, random: &mut fastrand::Rng, lasts: Duration) {
        let slot = random.usize(..WORKERS);
        let signal = |name: &str| {
            let workers = self.shared.workers.lock().unwrap();
            let id = workers[slot].child.id().expect("it runs");
            let kill = std::process::Command::new("kill")
                .args([name, &id.to_string()])
                .status();
            assert!(kill.unwrap().success());
        };
        self.note(format!(
            "the process behind {slot} stands still for {lasts:?}"
        ));
        signal("-STOP");
        sleep(lasts).await;
        signal("-CONT");
    }

    /// Kills a process, and starts another in its place.
    pub(crate) async fn replace(&self, random: &mut fastrand::Rng) {
        let slot = random.usize(..WORKERS);
        let mut old = {
            // Nobody is told of new tokens meanwhile.
            let mut workers = self.shared.workers.lock().unwrap();
            let new = self.worker(slot);
            std::mem::replace(&mut workers[slot], new)
        };
        self.note(format!(
            "process {} is killed, and followed by another",
            old.process
        ));
        old.child.kill().await.unwrap();
    }
}

impl Shared {
    /// Writes down what a process says.
    async fn listen(self: Arc<Self>, stdout: ChildStdout) {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match Said::read(&line) {
                Some(Said::Checked(check)) => {
                    self.record.lock().unwrap().history.checks.push(check);
                }
                Some(Said::Acked { number, at }) => self.acked(number as usize, at),
                Some(Said::Failed { .. }) | None => {}
            }
        }
    }

    /// Has everybody look at what is revoked now.
    fn acked(&self, number: usize, at: Instant) {
        let workers = self.workers.lock().unwrap();
        let mut record = self.record.lock().unwrap();
        record.history.revocations[number].acked = Some(at);
        let target = record.history.revocations[number].target;
        for token in record.history.named(target) {
            for worker in &*workers {
                let _ = worker.tell.send(Told::Look(token));
            }
        }
    }
}

/// How many processes there are at a time.
const WORKERS: usize = 3;

const SUBJECTS: u32 = 40;

/// Shorter than the faults, so that what is too old is seen.
pub(crate) const MAX_STALENESS: Duration = Duration::from_millis(500);

/// Longer than a process on a loaded machine needs to notice that the store lost its data.
const HEALING: Duration = Duration::from_secs(4);
