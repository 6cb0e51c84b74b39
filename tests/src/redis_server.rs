//! Real Redis servers, on free loopback ports, in folders of their own.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

pub use crate::redis_groups::{RedisCluster, RedisSentinels};

/// Which server to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The system's `redis-server`.
    Redis,
    /// Redis 8, installed by `scripts/servers`; `JWT_REVOKE_REDIS8` names another file.
    Redis8,
    /// Valkey 9, installed by `scripts/servers`; `JWT_REVOKE_VALKEY` names another file.
    Valkey,
}

impl Program {
    /// Whether tests do without it: `JWT_REVOKE_SKIP_SERVERS=1`. Says so, where a test that passes is heard.
    pub fn is_skipped(self) -> bool {
        let skipped = self != Self::Redis
            && std::env::var("JWT_REVOKE_SKIP_SERVERS").is_ok_and(|skip| skip == "1");
        if skipped {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: nothing was tested on {self:?} (JWT_REVOKE_SKIP_SERVERS=1)"
            );
        }
        skipped
    }

    fn path(self) -> PathBuf {
        let (variable, file) = match self {
            Self::Redis => return PathBuf::from("redis-server"),
            Self::Redis8 => ("JWT_REVOKE_REDIS8", "redis-server-8"),
            Self::Valkey => ("JWT_REVOKE_VALKEY", "valkey-server"),
        };
        if let Some(named) = std::env::var_os(variable) {
            return PathBuf::from(named);
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let target = workspace.expect("the tests lie in it").join(target);
        let path = target.join("servers").join(file);
        assert!(
            path.exists(),
            "{self:?} is not installed: run scripts/servers (it says what it needs), name a file by \
             {variable}, or set JWT_REVOKE_SKIP_SERVERS=1 to do without"
        );
        path
    }
}

/// A server process. Ends with its handle.
///
/// Without persistence, unless the arguments say otherwise: what restarts has lost its data.
pub struct RedisServer {
    program: Program,
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    args: Vec<String>,
    /// The certificate of the authority that vouches for it, in PEM, when it speaks TLS.
    authority: Option<String>,
}

impl RedisServer {
    /// A running server with the default settings.
    ///
    /// # Panics
    ///
    /// When there is no `redis-server`: a test of Redis that cannot run has failed.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A running server with further arguments, such as `["--maxmemory", "1mb"]`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(args: &[&str]) -> Self {
        Self::start_of(Program::Redis, args)
    }

    /// A running server of another kind, with further arguments.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_of(program: Program, args: &[&str]) -> Self {
        // Another process may take a port between our look and the server's start.
        for _ in 0..5 {
            let mut server = Self::stopped_with(args);
            server.program = program;
            if server.try_run() {
                return server;
            }
        }
        panic!("{program:?} does not come up with {args:?}");
    }

    /// A server that does not run yet: [`run`](Self::run) starts it.
    pub fn stopped() -> Self {
        Self::stopped_with(&[])
    }

    fn stopped_with(args: &[&str]) -> Self {
        Self {
            program: Program::Redis,
            child: None,
            port: free_port(),
            folder: TempDir::new().expect("a temporary folder"),
            args: args.iter().map(ToString::to_string).collect(),
            authority: None,
        }
    }

    /// A running server that speaks only TLS, for `localhost`, with a certificate of its own
    /// [authority](Self::authority).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_tls() -> Self {
        let mut server = Self::stopped();
        let authority = server.write_certificates();
        let file = |name: &str| server.folder().join(name).display().to_string();
        let args = [
            ["--tls-port", &server.port.to_string()],
            ["--tls-cert-file", &file("server.pem")],
            ["--tls-key-file", &file("server.key")],
            ["--tls-ca-cert-file", &file("authority.pem")],
            ["--tls-auth-clients", "no"],
        ];
        server.args = args.iter().flatten().map(ToString::to_string).collect();
        server.authority = Some(authority);
        server.run();
        server
    }

    fn write_certificates(&self) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let authority = Issuer::new(params, key);
        let server_key = KeyPair::generate().expect("a key");
        let server = CertificateParams::new(vec!["localhost".to_owned()])
            .and_then(|params| params.signed_by(&server_key, &authority))
            .expect("a certificate");
        let write = |name, text: &str| {
            std::fs::write(self.folder().join(name), text).expect("a file");
        };
        write("authority.pem", &pem);
        write("server.pem", &server.pem());
        write("server.key", &server_key.serialize_pem());
        pem
    }

    /// The certificate of the authority that vouches for it, in PEM; empty without TLS.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().unwrap_or_default()
    }

    /// Starts a server that was stopped or killed, on the same port and in the same folder.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn run(&mut self) {
        assert!(
            self.try_run(),
            "redis-server does not come up on port {}",
            self.port
        );
    }

    fn try_run(&mut self) -> bool {
        let mut command = Command::new(self.program.path());
        let plain = if self.authority.is_some() {
            0
        } else {
            self.port
        };
        command
            .args(["--port", &plain.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", &self.folder.path().display().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!(
                "the tests need {:?} (Debian: apt-get install redis-server; others: scripts/servers): {error}",
                self.program
            ),
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if answers(self.port, self.authority.is_some()) {
                return true;
            }
            let child = self.child.as_mut().expect("it was spawned");
            if child.try_wait().expect("its state").is_some() {
                self.child = None;
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address, as `AnyStore::connect` takes it.
    pub fn url(&self) -> String {
        match self.authority {
            Some(_) => format!("rediss://localhost:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// Runs a command with `redis-cli`, and returns what it prints.
    ///
    /// # Panics
    ///
    /// When there is no `redis-cli`.
    pub fn cli(&self, args: &[&str]) -> String {
        if self.authority.is_none() {
            return cli(self.port, args);
        }
        // Whether it is the right one is a question for the tests, not for this.
        cli(self.port, &[&["--tls", "--insecure"], args].concat())
    }

    /// How often a command was called, by `INFO commandstats`.
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        stats
            .lines()
            .find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A free loopback port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Runs a command with `redis-cli` on the server at `port`.
pub fn cli(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .expect("the tests of Redis need redis-cli (Debian: apt-get install redis-tools)");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Whether something that speaks Redis' protocol answers, if only with an error.
pub(crate) fn answers(port: u16, tls: bool) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    if tls {
        return true;
    }
    let mut first = [0];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut first).is_ok()
}
