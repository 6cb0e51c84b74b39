//! Real Redis servers, on free loopback ports, in folders of their own.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A `redis-server` process. Ends with its handle.
///
/// Without persistence, unless the arguments say otherwise: what restarts has lost its data.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    args: Vec<String>,
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
        // Another process may take a port between our look and the server's start.
        for _ in 0..5 {
            let mut server = Self::stopped_with(args);
            if server.try_run() {
                return server;
            }
        }
        panic!("redis-server does not come up with {args:?}");
    }

    /// A server that does not run yet: [`run`](Self::run) starts it.
    pub fn stopped() -> Self {
        Self::stopped_with(&[])
    }

    fn stopped_with(args: &[&str]) -> Self {
        Self {
            child: None,
            port: free_port(),
            folder: TempDir::new().expect("a temporary folder"),
            args: args.iter().map(ToString::to_string).collect(),
        }
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
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
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
            if answers(self.port) {
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
        format!("redis://127.0.0.1:{}", self.port)
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
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut first = [0];
    stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut first).is_ok()
}
