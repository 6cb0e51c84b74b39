//! How many logins, refreshes, detections of reuse and "log out everywhere" a second, how many bytes
//! a session takes, and on Redis how a refresh compares to a script call of the same size that does
//! nothing, in the same run.
//!
//! ```sh
//! cargo run --release -p jwt-revoke-benches --bin sessions             # all that follows
//! cargo run --release -p jwt-revoke-benches --bin sessions -- memory:
//! cargo run --release -p jwt-revoke-benches --bin sessions -- file:    # a file in a temporary folder
//! cargo run --release -p jwt-revoke-benches --bin sessions -- redis:   # starts a redis-server
//! ```
//!
//! The service runs on one thread, on which all callers wait; the embedded store has a thread of its
//! own for writing, and `redis-server` is another process. Whether they get cores of their own is up
//! to the machine.

use std::{
    future::Future,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::ClientLike as _,
    types::{Builder, ClusterHash, CustomCommand, Value, config::Config},
};
use futures::future::join_all;
use jwt_revoke_benches::{AUDIENCE, ISSUER, median};
use jwt_revoke_core::{
    Guard, Issuer,
    session::{Grant, Pair, Sessions},
    store::AnyStore,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::redis_server::RedisServer;

const CALLERS: usize = 64;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(500);

fn main() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{CALLERS} callers on one thread of the service, {cores} cores, HS256, no claims beside"
    );
    println!("the registered ones; medians of {ROUNDS} rounds of {ROUND:?}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let stores = ["memory:", "file:", "redis:"];
    for store in stores {
        if asked.is_empty() || asked.iter().any(|asked| asked == store) {
            runtime.block_on(measure(store));
        }
    }
    if let Some(other) = asked.iter().find(|asked| !stores.contains(&asked.as_str())) {
        eprintln!("{other} is none of {}", stores.join(", "));
        std::process::exit(2);
    }
}

async fn measure(kind: &str) {
    println!("{kind}");
    match kind {
        "redis:" => {
            let server = RedisServer::start();
            let sessions = sessions(&server.url()).await;
            let bare = Bare::of_refresh(&server, &sessions).await;
            rates(&sessions, Some(&bare)).await;
            memory(&server, &sessions, &bare).await;
        }
        "file:" => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let address = |name: &str| format!("file:{}", folder.path().join(name).display());
            rates(&sessions(&address("rates")).await, None).await;
            let path = folder.path().join("size");
            file(&path, &sessions(&address("size")).await).await;
        }
        address => rates(&sessions(address).await, None).await,
    }
}

/// Strict, so that every spent token is reuse; uncapped, so that users may be few.
async fn sessions(address: &str) -> Sessions {
    let store = AnyStore::connect(address)
        .await
        .expect("the store is there");
    let key = SigningKey::generate(Algorithm::HS256).expect("a key can be made");
    let issuer = Issuer::new(key, ISSUER, AUDIENCE);
    let guard = Guard::new(issuer.verifier(), store);
    guard.ready().await.expect("the store is ready");
    Sessions::new(&guard, issuer)
        .with_grace(Duration::ZERO)
        .with_cap(None)
}

async fn rates(sessions: &Sessions, bare: Option<&Bare<'_>>) {
    let users: Vec<_> = (0..CALLERS).map(|n| format!("user-{n}")).collect();
    let (mut logins, mut refreshes, mut reuses, mut revocations) = (vec![], vec![], vec![], vec![]);
    let mut calls = vec![];
    for _ in 0..ROUNDS {
        let login_all = || {
            join_all(users.iter().map(|user| async {
                login(sessions, user).await;
            }))
        };
        logins.push(rate(login_all).await);
        let mut pairs = join_all(users.iter().map(|user| login(sessions, user))).await;
        refreshes.push(refreshing(sessions, &mut pairs, bare).await);
        if let Some(bare) = bare {
            calls.push(bare.calling().await);
        }
        reuses.push(reuse(sessions).await);
        let revoke_all = || {
            join_all(users.iter().map(|user| async {
                sessions.revoke_all(user.as_str()).await.expect("revoked");
            }))
        };
        revocations.push(rate(revoke_all).await);
    }
    let per_second = |rounds: &[Round]| median(rounds.iter().map(|round| round.per_second));
    let names = ["login", "refresh", "reuse found", "revoke_all"];
    for (name, rounds) in names
        .iter()
        .zip([&logins, &refreshes, &reuses, &revocations])
    {
        println!("  {name:<12} {:>8.0} a second", per_second(rounds));
    }
    if bare.is_some() {
        let ratio = median(
            refreshes
                .iter()
                .zip(&calls)
                .map(|(own, bare)| own.per_second / bare.per_second),
        );
        println!("  {:<12} {:>8.0} a second", "bare call", per_second(&calls));
        println!("  refresh / bare call: {ratio:.2} (at least 0.5 wanted)");
        for (name, rounds) in [("refresh", &refreshes), ("bare call", &calls)] {
            let service = median(rounds.iter().map(|round| round.service_us));
            let server = median(rounds.iter().map(|round| round.server_us));
            println!(
                "  {name:<12} {service:>8.1} us on the service's thread, {server:.1} us in the script"
            );
        }
    }
}

/// What a round measured.
struct Round {
    per_second: f64,
    /// Microseconds of the service's thread for each step.
    service_us: f64,
    /// Microseconds in which the server ran each script.
    server_us: f64,
}

async fn login(sessions: &Sessions, user: &str) -> Pair {
    let attempt = sessions.begin().await.expect("a login can begin");
    sessions
        .login(attempt, user, &Grant::new())
        .await
        .expect("a session")
}

/// All callers take their step together, again and again for a round.
async fn rate<F: Future<Output = Vec<()>>>(all: impl Fn() -> F) -> Round {
    let watch = Watch::start(None);
    let mut steps = 0;
    while watch.start.elapsed() < ROUND {
        steps += all().await.len();
    }
    watch.stop(steps)
}

/// Every caller refreshes a session of its own, again and again for a round.
async fn refreshing(sessions: &Sessions, pairs: &mut [Pair], bare: Option<&Bare<'_>>) -> Round {
    let watch = Watch::start(bare.map(|bare| bare.server));
    let all = pairs.iter_mut().map(|pair| async {
        let mut steps = 0;
        while watch.start.elapsed() < ROUND {
            let next = sessions.refresh(pair.refresh_token(), None).await;
            *pair = next.expect("refreshed");
            steps += 1;
        }
        steps
    });
    let steps = join_all(all).await.into_iter().sum();
    watch.stop(steps)
}

/// Spent tokens come back, each once, each of another user.
async fn reuse(sessions: &Sessions) -> Round {
    let mut spent = Vec::new();
    for _ in 0..8 {
        let users = (0..CALLERS).map(|n| format!("victim-{n}-{}", spent.len()));
        let all = users.map(|user| async move {
            let pair = login(sessions, &user).await;
            let next = sessions.refresh(pair.refresh_token(), None).await;
            next.expect("refreshed");
            pair
        });
        spent.extend(join_all(all).await);
    }
    let watch = Watch::start(None);
    for some in spent.chunks(CALLERS) {
        let all = some
            .iter()
            .map(|pair| sessions.refresh(pair.refresh_token(), None));
        let refused = join_all(all).await;
        assert!(
            refused.iter().all(Result::is_err),
            "a spent token is refused"
        );
    }
    watch.stop(spent.len())
}

/// Bytes of a fresh file for each session in it, of many users with one each.
async fn file(path: &Path, sessions: &Sessions) {
    const BATCHES: usize = 200;
    for batch in 0..BATCHES {
        let users = (0..CALLERS).map(|n| format!("stored-{batch}-{n}"));
        join_all(users.map(|user| async move { login(sessions, &user).await })).await;
    }
    let count = BATCHES * CALLERS;
    let size = std::fs::metadata(path).expect("the file is there").len();
    let each = size / u64::try_from(count).expect("a small number");
    println!("  a file of {count} sessions takes {each} bytes for each, free pages included");
}

/// Bytes of a session, and of a share in its user's index, by `MEMORY USAGE`.
async fn memory(server: &RedisServer, sessions: &Sessions, bare: &Bare<'_>) {
    const ROTATIONS: usize = 10_000;
    let usage = |key: &str| -> u64 {
        let answer = server.cli(&["MEMORY", "USAGE", key]);
        answer.parse().expect("a number of bytes")
    };
    let mut pair = bare.pair.clone();
    let first = usage(&bare.record) + usage(&bare.index);
    for _ in 0..ROTATIONS {
        let next = sessions.refresh(pair.refresh_token(), None).await;
        pair = next.expect("refreshed");
    }
    let last = usage(&bare.record) + usage(&bare.index);
    println!(
        "  a session takes {first} bytes with its index, {last} after {ROTATIONS} refreshes (at most 700 wanted)"
    );
}

/// A script that is given the very keys and arguments of a refresh, and does nothing but answer as much.
struct Bare<'a> {
    server: &'a RedisServer,
    client: Client,
    words: Vec<Value>,
    /// The session whose refresh was watched.
    pair: Pair,
    record: String,
    index: String,
}

impl<'a> Bare<'a> {
    async fn of_refresh(server: &'a RedisServer, sessions: &Sessions) -> Self {
        let pair = login(sessions, "watched").await;
        let pair = sessions
            .refresh(pair.refresh_token(), None)
            .await
            .expect("refreshed");
        let mut monitor = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
        monitor.write_all(b"MONITOR\r\n").expect("sent");
        let mut lines = BufReader::new(monitor).lines();
        assert_eq!(lines.next().expect("an answer").expect("text"), "+OK");
        let pair = sessions
            .refresh(pair.refresh_token(), None)
            .await
            .expect("refreshed");
        let refresh = lines
            .map(|line| words(&line.expect("text")))
            .find(|words| words.first().is_some_and(|word| word == b"EVALSHA"))
            .expect("a refresh is one script call");
        let config = Config::from_url(&server.url()).expect("an address");
        let client = Builder::from_config(config).build().expect("a client");
        client.init().await.expect("the server is there");
        let key = |n: usize| String::from_utf8(refresh[2 + n].clone()).expect("a key is text");
        let (index, record) = (key(6), key(7));
        // As a refresh answers: as many words, of the same lengths, the last of them the record.
        let length: usize = server.cli(&["STRLEN", &record]).parse().expect("a number");
        let text = format!(
            "return {{'ok', 1790000000000, 'rotated', '{}'}}",
            "x".repeat(length)
        );
        let load = CustomCommand::new_static("SCRIPT", ClusterHash::FirstKey, false);
        let sha: String = client
            .custom(load, vec![Value::from("LOAD"), Value::from(text)])
            .await
            .expect("the script is loaded");
        let sizes = refresh[1..].iter().map(Vec::len);
        println!(
            "  a refresh is one script call of {} words, {} bytes",
            refresh.len(),
            sizes.sum::<usize>() + sha.len()
        );
        let words = std::iter::once(Value::from(sha))
            .chain(refresh[2..].iter().map(|word| Value::from(word.as_slice())));
        Self {
            server,
            client,
            words: words.collect(),
            pair,
            record,
            index,
        }
    }

    /// Every caller calls again and again for a round.
    async fn calling(&self) -> Round {
        let watch = Watch::start(Some(self.server));
        let all = (0..CALLERS).map(|_| async {
            let mut steps = 0;
            while watch.start.elapsed() < ROUND {
                let command = CustomCommand::new_static("EVALSHA", ClusterHash::FirstKey, false);
                let answer: Value = self
                    .client
                    .custom(command, self.words.clone())
                    .await
                    .expect("an answer");
                assert!(answer.is_array(), "an answer as a refresh has it");
                steps += 1;
            }
            steps
        });
        let steps = join_all(all).await.into_iter().sum();
        watch.stop(steps)
    }
}

/// The words of a command in a line of `MONITOR`: quoted, with escapes as in C.
fn words(line: &str) -> Vec<Vec<u8>> {
    let Some((_, quoted)) = line.split_once("] \"") else {
        return Vec::new();
    };
    let mut words = vec![vec![]];
    let mut bytes = quoted.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'"' => {
                // The end, or a blank and the next quote.
                if bytes.next().is_none() {
                    break;
                }
                bytes.next();
                words.push(vec![]);
                continue;
            }
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'a') => 7,
                Some(b'b') => 8,
                Some(b'x') => {
                    let digits = [bytes.next(), bytes.next()].map(|digit| {
                        let digit = char::from(digit.expect("two digits"));
                        digit.to_digit(16).expect("hexadecimal")
                    });
                    u8::try_from(digits[0] * 16 + digits[1]).expect("a byte")
                }
                other => other.expect("an escaped character"),
            },
            byte => byte,
        };
        words.last_mut().expect("there is one").push(byte);
    }
    words
}

/// A round that runs.
struct Watch<'a> {
    start: Instant,
    thread: f64,
    server: Option<(&'a RedisServer, (f64, f64))>,
}

impl<'a> Watch<'a> {
    fn start(server: Option<&'a RedisServer>) -> Self {
        let server = server.map(|server| (server, scripts(server)));
        Self {
            thread: thread_us(),
            start: Instant::now(),
            server,
        }
    }

    fn stop(&self, steps: usize) -> Round {
        let elapsed = self.start.elapsed().as_secs_f64();
        let thread = thread_us() - self.thread;
        let steps = u32::try_from(steps).map_or(f64::NAN, f64::from);
        let server_us = self.server.map_or(f64::NAN, |(server, (calls, us))| {
            let (calls_now, us_now) = scripts(server);
            (us_now - us) / (calls_now - calls)
        });
        Round {
            per_second: steps / elapsed,
            service_us: thread / steps,
            server_us,
        }
    }
}

/// How many scripts the server has run, and for how many microseconds.
fn scripts(server: &RedisServer) -> (f64, f64) {
    let stats = server.cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
    let number = |name: &str| {
        let field = line?
            .split(',')
            .find_map(|field| field.strip_prefix(name))?;
        field.trim().parse().ok()
    };
    (
        number("calls=").unwrap_or(0.0),
        number("usec=").unwrap_or(0.0),
    )
}

/// How long this thread has run on a core, in microseconds; not a number where the system is not Linux.
fn thread_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.map_or(f64::NAN, |ns| ns / 1e3)
}
