//! This test program once more, as another process that uses a store and says what it did.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jwt_revoke_core::store::{EmbeddedStore, Store as _};
use jwt_revoke_tests::store_suite::jti;
use tempfile::TempDir;

/// What the child does with the store at its path.
#[derive(Clone, Copy)]
pub(crate) enum Job {
    /// Writes one entry after the other in four tasks and says `ack` for each.
    Write,
    /// Writes batches of a thousand until it cannot.
    Fill,
    /// Writes batches for ever, and says of each what became of it.
    Persist,
    /// Opens the store and keeps it open.
    Hold,
    /// Opens sessions, rotates and ends them in four tasks, and says each step before and after.
    Rotate,
}

impl Job {
    const ALL: [(&str, Self); 5] = [
        ("write", Self::Write),
        ("fill", Self::Fill),
        ("persist", Self::Persist),
        ("hold", Self::Hold),
        ("rotate", Self::Rotate),
    ];

    fn name(self) -> &'static str {
        let same = |(_, job): &&(&str, Self)| *job as u8 == self as u8;
        Self::ALL.iter().find(same).unwrap().0
    }
}

/// A command that runs the child; `tag` makes its entries its own.
pub(crate) fn command(job: Job, path: &Path, tag: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    arguments(&mut command, job, path, tag);
    command
}

/// The same from a shell that has run `prelude` before.
pub(crate) fn command_after(prelude: &str, job: Job, path: &Path, tag: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{prelude}; exec \"$0\" \"$@\""));
    command.arg(env::current_exe().unwrap());
    arguments(&mut command, job, path, tag);
    command
}

/// The same as a user to whom file modes apply: not root. The program must lie where that user can
/// reach it, so it is copied into `folder`.
pub(crate) fn command_unprivileged(folder: &TempDir, job: Job, path: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return command(job, path, "x");
    }
    let program = folder.path().join("child");
    if !program.exists() {
        fs::copy(env::current_exe().unwrap(), &program).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program);
    arguments(&mut command, job, path, "x");
    command
}

fn arguments(command: &mut Command, job: Job, path: &Path, tag: &str) {
    command
        .args([
            "--exact",
            "child::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("STORE_JOB", job.name())
        .env("STORE_PATH", path)
        .env("STORE_TAG", tag)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
}

/// A running child, and the lines it has said. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that the child said on purpose: its first word, and the rest.
    pub(crate) fn said(&mut self) -> Option<(String, String)> {
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some((word, rest)) = line.strip_prefix("> ").and_then(|line| line.split_once(' '))
                // A line that was cut off by the kill has no end.
                && let Some(rest) = rest.strip_suffix(" .")
            {
                return Some((word.to_owned(), rest.to_owned()));
            }
        }
    }

    /// Sets how long the child's files may become, in bytes; `None` for as long as they like.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let most = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.child.id()))
            .arg(format!("--fsize={most}:unlimited"))
            .status();
        assert!(status.unwrap().success());
    }

    /// The next line with this word.
    pub(crate) fn until(&mut self, word: &str) -> String {
        loop {
            let (said, rest) = self.said().unwrap();
            if said == word {
                return rest;
            }
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn say(word: &str, rest: &str) {
    // In one write, so that a line is there as a whole or not at all.
    let line = format!("\n> {word} {} .\n", rest.replace('\n', " "));
    let mut out = std::io::stdout().lock();
    let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if written.is_err() {
        std::process::exit(1);
    }
}

#[test]
#[ignore = "the other tests run it as a process of its own"]
fn child() {
    let Ok(path) = env::var("STORE_PATH").map(PathBuf::from) else {
        return;
    };
    let job = env::var("STORE_JOB").unwrap();
    let tag = env::var("STORE_TAG").unwrap();
    let (_, job) = Job::ALL.into_iter().find(|(name, _)| *name == job).unwrap();
    let store = match EmbeddedStore::open(&path) {
        Ok(store) => store,
        Err(error) => return say("refused", &error.to_string()),
    };
    say("opened", "it");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    match job {
        Job::Write => runtime.block_on(write(store, tag)),
        Job::Fill => runtime.block_on(fill(store, tag)),
        Job::Persist => runtime.block_on(persist(store, tag)),
        Job::Rotate => runtime.block_on(crate::sessions::rotate(store, tag)),
        Job::Hold => loop {
            std::thread::park();
        },
    }
}

async fn write(store: EmbeddedStore, tag: String) {
    let next = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicBool::new(false));
    let tasks = (0..4).map(|_| {
        let (store, tag) = (store.clone(), tag.clone());
        let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
        tokio::spawn(async move {
            while !failed.load(Ordering::Relaxed) {
                let value = format!("{tag}-{}", next.fetch_add(1, Ordering::Relaxed));
                match store.revoke(&[jti(&value)]).await {
                    Ok(_) => say("ack", &value),
                    Err(error) => {
                        failed.store(true, Ordering::Relaxed);
                        say("failed", &error.to_string());
                    }
                }
            }
        })
    });
    futures::future::join_all(tasks).await;
}

async fn fill(store: EmbeddedStore, tag: String) {
    for batch in 0..1000 {
        let values: Vec<_> = (0..1000).map(|n| format!("{tag}-{batch}-{n}")).collect();
        let entries: Vec<_> = values.iter().map(|value| jti(value)).collect();
        match store.revoke(&entries).await {
            Ok(_) => values.iter().for_each(|value| say("ack", value)),
            Err(error) => return say("failed", &error.to_string()),
        }
    }
}

async fn persist(store: EmbeddedStore, tag: String) {
    for batch in 0_u64.. {
        let entries: Vec<_> = (0..500)
            .map(|n| jti(&format!("{tag}-{batch}-{n}")))
            .collect();
        match store.revoke(&entries).await {
            Ok(_) => say("ack", &format!("{tag}-{batch}-0")),
            Err(error) => {
                say("refused", &error.to_string());
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}
