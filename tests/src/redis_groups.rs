//! Real servers that belong together: Clusters, and primaries behind Sentinels.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::redis_server::{Program, RedisServer, answers, cli, free_port};

/// A Cluster.
pub struct RedisCluster {
    /// Its nodes; the primaries, at the start, stand first.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// A running Cluster of `count` primaries, at least three, without replicas.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(count: usize) -> Self {
        Self::start_of(Program::Redis, count, 0)
    }

    /// The same of another kind of server, with so many replicas a primary.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_of(program: Program, primaries: usize, replicas: usize) -> Self {
        let nodes: Vec<_> = (0..primaries * (1 + replicas))
            .map(|_| {
                // The bus takes the port 10,000 above by default, which may not exist.
                let bus = free_port().to_string();
                let mut args = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
                if replicas > 0 {
                    // How soon a replica takes over from a primary that is silent. By default none does
                    // that has not heard of it for long.
                    args.extend(["--cluster-node-timeout", "2000"]);
                    args.extend(["--cluster-replica-validity-factor", "0"]);
                }
                RedisServer::start_of(program, &args)
            })
            .collect();
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        for node in &nodes {
            command.arg(format!("127.0.0.1:{}", node.port()));
        }
        command.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let output = command.output().expect("redis-cli");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        wait("all nodes know all slots", || {
            nodes
                .iter()
                .all(|node| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"))
        });
        wait("the replicas follow", || {
            nodes[primaries..]
                .iter()
                .all(|node| node.cli(&["ROLE"]).contains("connected"))
        });
        Self { nodes }
    }

    /// The address, as `AnyStore::connect` takes it. It names the first node, which is enough while it runs.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }

    /// Moves the slot of a store's first shard from the first node to the third, twenty keys at a time.
    ///
    /// # Panics
    ///
    /// When a node refuses.
    pub async fn move_first_slot(&self, between: Duration) {
        let [from, other, to] = &self.nodes[..] else {
            panic!("this is for three primaries without replicas");
        };
        let slot = from.cli(&["CLUSTER", "KEYSLOT", "jr:{04s}:meta"]);
        let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
        let port = to.port().to_string();
        let set = |node: &RedisServer, words: [&str; 2]| {
            let told = node.cli(&[&["CLUSTER", "SETSLOT", &*slot], &words[..]].concat());
            assert_eq!(told, "OK");
        };
        set(to, ["IMPORTING", &from_id]);
        set(from, ["MIGRATING", &to_id]);
        loop {
            let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "20"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.lines());
            let moved = from.cli(&migrate);
            assert!(["OK", "NOKEY"].contains(&&*moved), "{moved}");
            tokio::time::sleep(between).await;
        }
        for node in [to, from, other] {
            set(node, ["NODE", &to_id]);
        }
    }

    /// The address that names all nodes.
    pub fn url_of_all(&self) -> String {
        let others = self.nodes[1..].iter().map(RedisServer::port);
        let others: Vec<_> = others
            .map(|port| format!("node=127.0.0.1:{port}"))
            .collect();
        format!("{}?{}", self.url(), others.join("&"))
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

    /// Stops the sentinel that the address names first in its tracks (SIGSTOP).
    pub fn freeze_first_sentinel(&self) {
        let (sentinel, ..) = self.sentinels.first().expect("three were started");
        let status = Command::new("kill")
            .args(["-STOP", &sentinel.id().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    /// The port of the primary, as the sentinels name it.
    pub fn named(&self) -> Option<u16> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"];
        let mut told = self.sentinels.iter().map(|(_, port, _)| {
            let answer = cli(*port, &ask);
            answer.lines().nth(1).and_then(|port| port.parse().ok())
        });
        let first = told.next()??;
        told.all(|other| other == Some(first)).then_some(first)
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
