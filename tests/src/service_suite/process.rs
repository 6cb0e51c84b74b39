//! A program, and its processes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::raw_http::{RawRequest, RawResponse};

/// Nothing takes longer, on the slowest machine, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program and the folder it runs in. All its processes share that folder, and so the key.
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
    started: AtomicU32,
    secrets: Mutex<Vec<String>>,
}

impl Program {
    /// The program at `binary`, in an empty folder.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let secrets = [ALICE, BOB].map(|(_, password)| password.to_owned());
        Self {
            binary: binary.into(),
            folder: tempfile::tempdir().unwrap(),
            started: AtomicU32::new(0),
            secrets: Mutex::new(secrets.into()),
        }
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Has the check fail if `text` is ever seen in what the program says.
    pub fn keep_secret(&self, text: &str) {
        assert!(text.len() >= 7, "too short to be told from other text");
        self.secrets.lock().unwrap().push(text.to_owned());
    }

    /// A process that came up, with these settings. It listens on a free port.
    ///
    /// # Panics
    ///
    /// When it does not come up; with what it said.
    pub fn start(&self, settings: &[(&str, &str)]) -> Service<'_> {
        self.start_command(Command::new(&self.binary), settings)
    }

    fn start_command(&self, command: Command, settings: &[(&str, &str)]) -> Service<'_> {
        let (mut child, log) = self.spawn(command, settings);
        let lines = lines_of(child.stdout.take().unwrap());
        let mut service = Service {
            program: self,
            child,
            address: ([127, 0, 0, 1], 0).into(),
            lines,
            log,
        };
        let first = service.line();
        let address = first
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on http://"))
            .and_then(|address| address.parse().ok());
        service.address = address.unwrap_or_else(|| panic!("{first:?}\n{}", service.log()));
        service
    }

    /// Runs a process that must give up by itself.
    ///
    /// # Panics
    ///
    /// When it comes up, ends well, or does not end.
    pub fn fail(&self, settings: &[(&str, &str)]) -> Failed {
        self.fail_command(Command::new(&self.binary), settings)
    }

    /// The same with another command that ends in the program.
    pub fn fail_command(&self, command: Command, settings: &[(&str, &str)]) -> Failed {
        let (mut child, log) = self.spawn(command, settings);
        let lines = lines_of(child.stdout.take().unwrap());
        // Ends with the process, since nobody else holds its output.
        let said = lines.recv_timeout(PATIENCE);
        if said != Err(mpsc::RecvTimeoutError::Disconnected) {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it came up or hung: {said:?}\n{}", read(&log));
        }
        let status = child.wait().unwrap();
        let stderr = read(&log);
        assert!(!status.success(), "{stderr}");
        assert!(status.code().is_some(), "a signal ended it: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        Failed { stderr }
    }

    fn spawn(&self, mut command: Command, settings: &[(&str, &str)]) -> (Child, PathBuf) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder().join(format!("log-{number}"));
        let child = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_LOG", "trace")
            .env("JWT_REVOKE_ADDR", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        (child, log)
    }

    /// Tokens and passwords are in no log, whatever its level; nor are colours, since it is a file.
    ///
    /// # Panics
    ///
    /// When one is.
    pub fn assert_that_no_secret_leaked(&self) {
        let mut logs = String::new();
        for number in 0..self.started.load(Ordering::Relaxed) {
            logs += &read(&self.folder().join(format!("log-{number}")));
        }
        assert!(!logs.contains("panicked"), "{logs}");
        assert!(!logs.contains('\u{1b}'), "{logs}");
        for secret in &*self.secrets.lock().unwrap() {
            let line = logs.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a secret is in the log");
        }
    }
}

/// A process that gave up.
pub struct Failed {
    /// What it said.
    pub stderr: String,
}

impl Failed {
    /// Fails unless each of these words is in what it said.
    #[track_caller]
    pub fn assert_names(&self, words: &[&str]) {
        // The levels below are for whoever asks for them.
        let told: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| line.contains("ERROR"))
            .collect();
        let told = told.join("\n");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in {told:?}");
        }
    }
}

/// A process that came up. Killed when dropped.
pub struct Service<'a> {
    program: &'a Program,
    child: Child,
    address: SocketAddr,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
}

impl Service<'_> {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next line of its output, `None` at the end.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs: {}", self.log()),
        }
    }

    /// What it logged up to now.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Sends a request and reads the response to its end.
    pub async fn send(&self, request: RawRequest) -> RawResponse {
        request.send(self.address).await
    }

    /// `GET` without a token.
    pub async fn get(&self, path: &str) -> RawResponse {
        self.send(RawRequest::get(path)).await
    }

    /// `GET /me` with a token.
    pub async fn me(&self, token: &str) -> RawResponse {
        self.send(RawRequest::get("/me").bearer(token)).await
    }

    /// What the program decides about a token: the status of [`me`](Self::me), asked again while it
    /// is 503. On a loaded machine a check of Redis may miss its bound, and clients are told to
    /// try again.
    pub async fn decision(&self, token: &str) -> u16 {
        again(|| self.me(token)).await.status
    }

    /// `POST /login` with any body.
    pub async fn post_login(&self, body: impl AsRef<[u8]>) -> RawResponse {
        let request = RawRequest::new("POST", "/login").header("content-type", "application/json");
        self.send(request.body(body.as_ref())).await
    }

    /// `POST /login` with a name and a password.
    pub async fn login(&self, (username, password): (&str, &str)) -> RawResponse {
        let body = json!({"username": username, "password": password});
        let response = self.post_login(body.to_string()).await;
        if response.status == 200 {
            let token = response.json()["access_token"].as_str().unwrap().to_owned();
            // The signature alone would be enough to forge nothing, but nobody logs it by chance.
            self.program
                .keep_secret(token.rsplit('.').next().unwrap_or(&token));
        }
        response
    }

    /// A token of `user`; tries again like [`decision`](Self::decision).
    pub async fn token(&self, user: (&str, &str)) -> String {
        let response = again(|| self.login(user)).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// `POST /auth/logout` with a token.
    pub async fn logout(&self, token: &str) -> RawResponse {
        self.send(RawRequest::post("/auth/logout").bearer(token))
            .await
    }

    /// Logs a token out, which must work; tries again like [`decision`](Self::decision).
    pub async fn log_out(&self, token: &str) {
        let response = again(|| self.logout(token)).await;
        assert_eq!(response.status, 204, "{response:?}");
    }

    /// Asks until the answer to a token is `wanted`; meanwhile none of `never` may come.
    pub async fn until(&self, token: &str, wanted: u16, never: &[u16]) {
        let start = Instant::now();
        loop {
            let status = self.me(token).await.status;
            assert!(!never.contains(&status), "{status}");
            if status == wanted {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{status} and never {wanted}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns once its log has these words.
    pub async fn until_logged(&self, words: &str) {
        let start = Instant::now();
        while !self.log().contains(words) {
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status();
        assert!(status.expect("kill").success());
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        while self.line().is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first response that is no 503.
pub(super) async fn again<F: Future<Output = RawResponse>>(ask: impl Fn() -> F) -> RawResponse {
    let start = Instant::now();
    loop {
        let response = ask().await;
        if response.status != 503 || start.elapsed() > PATIENCE {
            return response;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A user of the programs, and the password.
pub const ALICE: (&str, &str) = ("alice", "wonderland");

/// Another one.
pub const BOB: (&str, &str) = ("bob", "we-can-fix-it");

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
}

/// The lines of an output, read on a thread so that waiting for them has a bound.
fn lines_of(output: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Read on to the end all the same: a full pipe would stop the process.
            let _ = sender.send(line);
        }
    });
    lines
}
