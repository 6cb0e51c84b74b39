//! Real Redis servers, on free loopback ports, in folders of their own.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// A `redis-server` process. Ends with its handle.
///
/// Without persistence, unless the arguments say otherwise: what restarts has lost its data.
pub struct RedisServer {
    child: Option<Child>,
    /// What is run: another server that speaks the same, perhaps.
    program: String,
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
        Self::start_program("redis-server", args)
    }

    /// The same of another server that takes the same arguments, such as `valkey-server`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_program(program: &str, args: &[&str]) -> Self {
        // Another process may take a port between our look and the server's start.
        for _ in 0..5 {
            let mut server = Self::stopped_with(args);
            program.clone_into(&mut server.program);
            if server.try_run() {
                return server;
            }
        }
        panic!("{program} does not come up with {args:?}");
    }

    /// A server that does not run yet: [`run`](Self::run) starts it.
    pub fn stopped() -> Self {
        Self::stopped_with(&[])
    }

    fn stopped_with(args: &[&str]) -> Self {
        Self {
            child: None,
            program: "redis-server".to_owned(),
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
        let mut command = Command::new(&self.program);
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
                "the tests of Redis need redis-server (Debian: apt-get install redis-server): {error}"
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
        cli(self.port, args)
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

/// A Cluster of primaries.
pub struct RedisCluster {
    /// Its nodes.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// A running Cluster of `count` primaries, at least three, without replicas.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(count: usize) -> Self {
        let nodes: Vec<_> = (0..count)
            .map(|_| {
                // The bus takes the port 10,000 above by default, which may not exist.
                let bus = free_port().to_string();
                let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                RedisServer::start_with(&args)
            })
            .collect();
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        for node in &nodes {
            command.arg(format!("127.0.0.1:{}", node.port()));
        }
        command.args(["--cluster-replicas", "0", "--cluster-yes"]);
        let output = command.output().expect("redis-cli");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let start = Instant::now();
        while !nodes
            .iter()
            .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        {
            assert!(start.elapsed() < Duration::from_secs(30), "no cluster");
            thread::sleep(Duration::from_millis(50));
        }
        Self { nodes }
    }

    /// The address, as `AnyStore::connect` takes it.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }
}

/// A primary, a replica of it, and three sentinels that watch both under the name `main`.
pub struct RedisSentinels {
    /// The servers; the first is the primary at the start.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<(Child, u16, TempDir)>,
}

impl RedisSentinels {
    /// A running group.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start() -> Self {
        let primary = RedisServer::start();
        let port = primary.port();
        let replica = RedisServer::start();
        replica.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        wait("the replica follows", || {
            replica.cli(&["ROLE"]).contains("connected")
        });
        let config = format!(
            "sentinel monitor main 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n"
        );
        let sentinels = (0..3).map(|_| sentinel(&config)).collect();
        let group = Self {
            servers: vec![primary, replica],
            sentinels,
        };
        wait("the sentinels know each other", || {
            group.sentinels.iter().all(|(_, port, _)| {
                let told = cli(*port, &["SENTINEL", "MASTER", "main"]);
                let told: Vec<_> = told.lines().collect();
                let field = |name| {
                    told.windows(2)
                        .find(|pair| pair[0] == name)
                        .map(|pair| pair[1])
                };
                field("num-other-sentinels") == Some("2") && field("num-slaves") == Some("1")
            })
        });
        group
    }

    /// The address, as `AnyStore::connect` takes it.
    pub fn url(&self) -> String {
        let [(_, first, _), (_, second, _), (_, third, _)] = &self.sentinels[..] else {
            unreachable!("three were started");
        };
        format!(
            "redis-sentinel://127.0.0.1:{first}?node=127.0.0.1:{second}&node=127.0.0.1:{third}&service=main"
        )
    }
}

impl Drop for RedisSentinels {
    fn drop(&mut self) {
        for (sentinel, ..) in &mut self.sentinels {
            let _ = sentinel.kill();
            let _ = sentinel.wait();
        }
    }
}

fn sentinel(config: &str) -> (Child, u16, TempDir) {
    let folder = TempDir::new().expect("a temporary folder");
    let port = free_port();
    let file = folder.path().join("sentinel.conf");
    std::fs::write(&file, format!("port {port}\nbind 127.0.0.1\n{config}")).expect("a file");
    let child = Command::new("redis-server")
        .arg(&file)
        .arg("--sentinel")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server");
    wait("a sentinel answers", || answers(port, false));
    (child, port, folder)
}

fn wait(what: &str, is_there: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < Duration::from_secs(30), "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
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
fn answers(port: u16, tls: bool) -> bool {
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
