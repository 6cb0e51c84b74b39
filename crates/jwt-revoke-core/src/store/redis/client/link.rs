//! Commands to whatever an address names, each within its bound.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::store::redis::{
    client::{
        Command, Config, Connection, LinkOptions, Server, Target, Value, cluster::Cluster,
        connects::Connects, node::Node,
    },
    failure::Failure,
    reply::Reply,
    scripts::Script,
    words::Words,
};

/// A connection (one to every primary of a Cluster) that comes back by itself, until it is dropped.
pub(in crate::store::redis) struct Link {
    nodes: Nodes,
    has_sentinels: bool,
    options: LinkOptions,
    connects: Arc<Connects>,
}

enum Nodes {
    One(Node),
    Cluster(Cluster),
}

impl Link {
    /// Starts connecting, on the current tokio runtime.
    pub(in crate::store::redis) fn start(config: Config, options: LinkOptions) -> Self {
        let connects = Arc::new(Connects::default());
        let has_sentinels = matches!(config.target, Target::Sentinels(_));
        let nodes = match config.target.clone() {
            Target::Cluster(named) => {
                let connects = Arc::clone(&connects);
                Nodes::Cluster(Cluster::start(config, named, options, connects))
            }
            _ => Nodes::One(Node::start(config, options, Arc::clone(&connects), None)),
        };
        Self {
            nodes,
            has_sentinels,
            options,
            connects,
        }
    }

    /// Waits for the first news of the connection: that it is up, or why it is not.
    pub(in crate::store::redis) async fn connected(&self) -> Result<(), Failure> {
        match &self.nodes {
            Nodes::One(node) => node.connected().await,
            Nodes::Cluster(cluster) => cluster.connected().await,
        }
    }

    /// The primary that has `slot`, as far as this client of a Cluster knows.
    pub(in crate::store::redis) fn server_of(&self, slot: u16) -> Option<Server> {
        match &self.nodes {
            Nodes::One(_) => None,
            Nodes::Cluster(cluster) => cluster.server_of(slot),
        }
    }

    /// The latest connection to the primary of `slot`: when it is another, so may the server be.
    pub(in crate::store::redis) fn connection(&self, slot: u16) -> Connection {
        self.connects.latest(self.server_of(slot))
    }

    /// Sends a command to the primary of `slot`, within the link's bound.
    pub(in crate::store::redis) async fn send(
        &self,
        slot: u16,
        command: &'static str,
        args: Vec<Value>,
    ) -> Result<Reply, Failure> {
        let bound = self.options.timeout;
        self.send_within(slot, command, args, bound).await
    }

    /// Runs a script on the primary of `slot` within `bound` and until `deadline`; a server that does
    /// not know it yet, or has forgotten it, is told.
    pub(in crate::store::redis) async fn run(
        &self,
        slot: u16,
        script: &'static Script,
        words: &Words,
        bound: Duration,
        deadline: Instant,
    ) -> Result<Vec<Reply>, Failure> {
        let left = || bound.min(deadline.saturating_duration_since(Instant::now()));
        let known = words.of_script(script.sha());
        let mut answer = self.send_within(slot, "EVALSHA", known, left()).await;
        if matches!(&answer, Err(failure) if failure.is_no_script()) {
            let told = words.of_script(script.text());
            answer = self.send_within(slot, "EVAL", told, left()).await;
        }
        match answer? {
            Reply::List(list) => Ok(list),
            other => Err(Failure::odd(format!("a script answered {other:?}"))),
        }
    }

    /// Sends a command to the primary of `slot`, within `bound`. Where a connection breaks under it, it is
    /// sent again over another as often as the link may.
    pub(in crate::store::redis) async fn send_within(
        &self,
        slot: u16,
        name: &'static str,
        args: Vec<Value>,
        bound: Duration,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + bound;
        let command = Command { name, args };
        let mut attempts = self.options.attempts.max(1);
        let answer = loop {
            attempts -= 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let command = command.clone();
            // On the heap: what is awaited here is large, and callers await it deep inside of others.
            let answer = match &self.nodes {
                Nodes::One(node) => Box::pin(node.send(command, left)).await,
                Nodes::Cluster(cluster) => Box::pin(cluster.send(slot, command, left)).await,
            };
            let is_broken = matches!(answer, Err(Failure::Unreachable(_)));
            match answer {
                // Given up because it was not answered, by then.
                Err(_) if is_broken && Instant::now() >= deadline => {
                    break Err(Failure::TimedOut(bound));
                }
                Err(_) if is_broken && attempts > 0 => {}
                answer => break answer,
            }
        };
        let answer = answer.map_err(|failure| match failure {
            Failure::TimedOut(_) => Failure::TimedOut(bound),
            failure => failure,
        });
        if let Err(failure) = &answer {
            self.judge(failure);
        }
        answer
    }

    /// Sends commands one right behind the other over one connection, and returns the answer to each. The link
    /// is to one server.
    pub(in crate::store::redis) async fn send_all(
        &self,
        commands: Vec<Command>,
        bound: Duration,
    ) -> Result<Vec<Result<Reply, Failure>>, Failure> {
        let Nodes::One(node) = &self.nodes else {
            return Err(Failure::odd("several commands go to one server only"));
        };
        let answers = Box::pin(node.send_all(commands, bound)).await?;
        for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.judge(failure);
        }
        Ok(answers)
    }

    /// Looks for another primary where a failure says that this one may be none any more.
    fn judge(&self, failure: &Failure) {
        if failure.is_read_only() || failure.is_alone() && self.has_sentinels {
            self.look_for_the_primary();
        }
    }

    /// Whether this client of sentinels is connected to another server than `other` is.
    pub(in crate::store::redis) fn is_elsewhere(&self, other: &Self) -> bool {
        let (Nodes::One(ours), Nodes::One(theirs)) = (&self.nodes, &other.nodes) else {
            return false;
        };
        let servers = ours.server().zip(theirs.server());
        self.has_sentinels && servers.is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// A primary that was demoted keeps its connections: look for the new one, once a second at most.
    pub(in crate::store::redis) fn look_for_the_primary(&self) {
        match &self.nodes {
            Nodes::One(node) => node.look_again(),
            Nodes::Cluster(cluster) => cluster.look_again(),
        }
    }
}
