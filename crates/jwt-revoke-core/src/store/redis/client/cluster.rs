//! A Cluster: which node has which slot, and a connection of its own to each, so that a node that hangs or is
//! gone holds up nothing that concerns the others.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};

use crate::store::redis::{
    client::{Command, Config, LinkOptions, Server, connects::Connects, node::Node, wire::Wire},
    failure::Failure,
    reply::Reply,
};

/// Connections to the primaries of a Cluster, until it is dropped.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    /// Dropped with the cluster, which ends the task that looks after it.
    _open: oneshot::Sender<()>,
}

struct Shared {
    config: Config,
    /// The nodes that the address names.
    named: Vec<Server>,
    options: LinkOptions,
    map: RwLock<Map>,
    news: watch::Sender<News>,
    /// The map may be out of date.
    doubt: Arc<Notify>,
    connects: Arc<Connects>,
}

/// Which node has which slot.
#[derive(Default)]
struct Map {
    slots: Slots,
    nodes: HashMap<Server, Arc<Node>>,
}

/// By slot, the place of its server in a list.
#[derive(Default)]
struct Slots {
    servers: Vec<Server>,
    of_slot: Vec<u16>,
}

/// Whether it is known which node has which slot, or why not.
#[derive(Clone)]
enum News {
    None,
    Known,
    Unknown(Failure),
}

impl Cluster {
    /// Starts asking the nodes, on the current tokio runtime.
    pub(super) fn start(
        config: Config,
        named: Vec<Server>,
        options: LinkOptions,
        connects: Arc<Connects>,
    ) -> Self {
        let shared = Arc::new(Shared {
            config,
            named,
            options,
            map: RwLock::default(),
            news: watch::Sender::new(News::None),
            doubt: Arc::new(Notify::new()),
            connects,
        });
        let (open, closed) = oneshot::channel();
        let keeper = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                _ = closed => {}
                () = keep(&keeper) => {}
            }
            keeper.write().nodes.clear();
        });
        Self {
            shared,
            _open: open,
        }
    }

    /// Waits for the first news of the nodes: that it is known which has which slot, or why not.
    pub(super) async fn connected(&self) -> Result<(), Failure> {
        let mut news = self.shared.news.subscribe();
        let news = news.wait_for(|news| !matches!(news, News::None));
        match news.await.as_deref() {
            Ok(News::Unknown(failure)) => Err(failure.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(no_server()),
        }
    }

    /// The primary that has `slot`, as far as is known.
    pub(super) fn server_of(&self, slot: u16) -> Option<Server> {
        self.shared.read().slots.server(slot).cloned()
    }

    /// Looks again which node has which slot.
    pub(super) fn look_again(&self) {
        self.shared.doubt.notify_one();
    }

    /// Sends a command to the primary of `slot` within `bound`; to another, where the slot has moved.
    pub(super) async fn send(
        &self,
        slot: u16,
        command: Command,
        bound: Duration,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + bound;
        let mut moved = 0;
        loop {
            let node = self.node(slot, deadline, bound).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match node.send(command.clone(), left).await {
                Err(Failure::TimedOut(_)) => return Err(Failure::TimedOut(bound)),
                Err(Failure::Refused(words)) => words,
                answer => return answer,
            };
            let mut words = failure.split_whitespace();
            match (words.next(), words.nth(1)) {
                (Some("MOVED"), to) if moved < MOST_MOVES => {
                    moved += 1;
                    self.shared.moved(slot, to, node.server());
                }
                // A slot that is being moved: it is known in a moment where.
                (Some("MOVED" | "ASK"), _) => {
                    self.shared.doubt.notify_one();
                    return Err(Failure::Unreachable(failure));
                }
                _ => return Err(Failure::Refused(failure)),
            }
        }
    }

    async fn node(
        &self,
        slot: u16,
        deadline: Instant,
        bound: Duration,
    ) -> Result<Arc<Node>, Failure> {
        loop {
            let mut news = self.shared.news.subscribe();
            news.mark_unchanged();
            if let Some(node) = self.shared.node(slot) {
                return Ok(node);
            }
            if let News::Unknown(failure) = &*news.borrow() {
                return Err(failure.clone());
            }
            self.shared.doubt.notify_one();
            match timeout_at(deadline, news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(no_server()),
                Err(_) if matches!(&*news.borrow(), News::Known) => return Err(no_server()),
                Err(_) => return Err(Failure::TimedOut(bound)),
            }
        }
    }
}

impl Shared {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, slot: u16) -> Option<Arc<Node>> {
        let map = self.read();
        let server = map.slots.server(slot)?;
        map.nodes.get(server).cloned()
    }

    /// A node said that `slot` lies elsewhere.
    fn moved(&self, slot: u16, to: Option<&str>, from: Option<Server>) {
        self.doubt.notify_one();
        let Some(mut to) = to.and_then(Server::parse) else {
            return;
        };
        if to.host.is_empty() {
            // The same host as that of the node that says so.
            let Some(from) = from else {
                return;
            };
            to.host = from.host;
        }
        let mut map = self.write();
        map.slots.set(slot, slot, to.clone());
        self.connect(&mut map, &to);
    }

    fn connect(&self, map: &mut Map, server: &Server) {
        if !map.nodes.contains_key(server) {
            let node = Node::start(
                self.config.of_server(server.clone()),
                self.options,
                Arc::clone(&self.connects),
                Some(Arc::clone(&self.doubt)),
            );
            map.nodes.insert(server.clone(), Arc::new(node));
        }
    }

    /// Takes over what a node said.
    fn learn(&self, slots: Slots) {
        let mut map = self.write();
        for server in &slots.servers {
            self.connect(&mut map, server);
        }
        map.nodes.retain(|server, _| slots.servers.contains(server));
        map.slots = slots;
    }

    /// Asks the nodes which of them has which slot: first those that are connected, then all.
    async fn discover(&self) -> Result<Slots, Failure> {
        let (connected, known): (Vec<_>, Vec<_>) = {
            let map = self.read();
            let nodes = map.nodes.iter();
            let connected = nodes.filter(|(_, node)| node.is_up());
            (
                connected
                    .map(|(server, node)| (server.clone(), Arc::clone(node)))
                    .collect(),
                map.slots.servers.clone(),
            )
        };
        let bound = self.options.connect_timeout;
        let asks = connected.iter().map(|(server, node)| async move {
            let answers = node.send_all(questions(), SOON.min(bound)).await;
            (server, answers)
        });
        let first = best(asks.collect(), Instant::now() + SOON.min(bound)).await;
        if first.is_ok() {
            return first;
        }
        let mut all = self.named.clone();
        all.extend(
            known
                .into_iter()
                .filter(|server| !self.named.contains(server)),
        );
        let asks = all.iter().map(|server| async move {
            let config = self.config.of_server(server.clone());
            let answers = async {
                let wire = Wire::open_first(server, &config, bound).await?;
                wire.send_all(questions(), bound).await
            };
            (server, answers.await)
        });
        best(asks.collect(), Instant::now() + 2 * bound).await
    }

    fn is_all_well(&self) -> bool {
        let map = self.read();
        map.nodes.values().all(|node| node.is_up())
    }
}

/// Keeps the map up to date.
async fn keep(shared: &Shared) {
    let mut is_known = false;
    loop {
        match shared.discover().await {
            Ok(slots) => {
                shared.learn(slots);
                is_known = true;
                shared.news.send_replace(News::Known);
            }
            Err(failure) => {
                tracing::debug!(reason = ?failure, "the nodes of the store do not tell their slots");
                shared.news.send_if_modified(|news| {
                    if !is_known {
                        *news = News::Unknown(failure);
                    }
                    !is_known
                });
            }
        }
        sleep(BREATH).await;
        // Another node may know that the failing one was replaced.
        let pause = if is_known && shared.is_all_well() {
            CALM
        } else {
            SOON
        };
        tokio::select! {
            () = shared.doubt.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

fn questions() -> Vec<Command> {
    vec![
        Command::of("CLUSTER", &["INFO"]),
        Command::of("CLUSTER", &["SLOTS"]),
    ]
}

type Answers = Result<Vec<Result<Reply, Failure>>, Failure>;

/// The first answer of a node that counts itself part of the Cluster; of one that does not, if there is no other.
async fn best<'a, F>(mut asks: FuturesUnordered<F>, deadline: Instant) -> Result<Slots, Failure>
where
    F: Future<Output = (&'a Server, Answers)>,
{
    let (mut other, mut failure) = (None, no_server());
    while let Ok(Some((server, answers))) = timeout_at(deadline, asks.next()).await {
        let read = answers.and_then(|answers| read(server, answers));
        match read {
            Ok((slots, true)) => return Ok(slots),
            Ok((slots, false)) => other = Some(slots),
            Err(other) => failure = other,
        }
    }
    other.ok_or(failure)
}

/// Reads the slots that a node named, and whether it counts itself part of the Cluster.
fn read(server: &Server, answers: Vec<Result<Reply, Failure>>) -> Result<(Slots, bool), Failure> {
    let mut answers = answers.into_iter();
    let info = answers.next().and_then(Result::ok);
    let slots = answers.next().unwrap_or_else(|| Err(odd()))?;
    let slots = Slots::read(server, &slots).ok_or_else(odd)?;
    let info = info.as_ref().and_then(Reply::text).unwrap_or_default();
    let is_part = info.lines().any(|line| line.trim() == "cluster_state:ok");
    Ok((slots, is_part))
}

impl Slots {
    fn server(&self, slot: u16) -> Option<&Server> {
        let place = self.of_slot.get(usize::from(slot))?;
        self.servers.get(usize::from(*place))
    }

    fn set(&mut self, first: u16, last: u16, server: Server) {
        let place = self.servers.iter().position(|known| *known == server);
        let place = place.unwrap_or_else(|| {
            self.servers.push(server);
            self.servers.len() - 1
        });
        let Ok(place) = u16::try_from(place) else {
            return;
        };
        self.of_slot.resize(SLOTS, u16::MAX);
        let range = usize::from(first)..=usize::from(last).min(SLOTS - 1);
        if let Some(slots) = self.of_slot.get_mut(range) {
            slots.fill(place);
        }
    }

    /// Reads the answer of `server` to `CLUSTER SLOTS`: `[first, last, [host, port, ..], replicas ..]` each.
    fn read(server: &Server, answer: &Reply) -> Option<Self> {
        let Reply::List(ranges) = answer else {
            return None;
        };
        let mut slots = Self::default();
        for range in ranges {
            let Reply::List(range) = range else {
                return None;
            };
            let [first, last, Reply::List(primary), ..] = range.as_slice() else {
                return None;
            };
            let [host, port, ..] = primary.as_slice() else {
                return None;
            };
            // A node that does not know its own address is where it was reached.
            let host = match host.text() {
                None | Some("") => &server.host,
                Some("?") => continue,
                Some(host) => host,
            };
            let number =
                |reply: &Reply| reply.number().and_then(|number| u16::try_from(number).ok());
            let owner = Server::new(host, number(port)?);
            slots.set(number(first)?, number(last)?, owner);
        }
        (!slots.servers.is_empty()).then_some(slots)
    }
}

fn odd() -> Failure {
    Failure::odd("CLUSTER SLOTS answered something else")
}

fn no_server() -> Failure {
    Failure::Unreachable("no server has the slot".to_owned())
}

/// How many slots a Cluster has.
const SLOTS: usize = 16_384;

/// How often one command is sent after a slot that moves.
const MOST_MOVES: u32 = 4;

/// How long between two questions for the slots at the least.
const BREATH: Duration = Duration::from_millis(100);

/// How soon the nodes are asked again while one of them is not connected, and how long those that are may take.
const SOON: Duration = Duration::from_millis(500);

/// How often the nodes are asked while all is well.
const CALM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Reply, port: i64) -> Reply {
        let node = |host, port| Reply::List(vec![host, Reply::Int(port), text("id")]);
        let replica = node(text("10.0.0.9"), 1);
        Reply::List(vec![
            Reply::Int(first),
            Reply::Int(last),
            node(host, port),
            replica,
        ])
    }

    #[test]
    fn slots_are_read_and_moved() {
        let asked = Server::new("10.0.0.1", 7000);
        let answer = Reply::List(vec![
            range(0, 99, text(""), 7000),
            range(100, 16_383, text("10.0.0.2"), 7001),
        ]);
        let mut slots = Slots::read(&asked, &answer).unwrap();
        assert_eq!(slots.server(0), Some(&asked));
        assert_eq!(slots.server(99), Some(&asked));
        assert_eq!(slots.server(100), Some(&Server::new("10.0.0.2", 7001)));
        assert_eq!(slots.server(16_383), Some(&Server::new("10.0.0.2", 7001)));
        let third = Server::new("::1", 7002);
        slots.set(7, 7, third.clone());
        assert_eq!(slots.server(7), Some(&third));
        assert_eq!(slots.server(8), Some(&asked));
    }

    #[test]
    fn r61_what_no_cluster_answers_is_not_taken_for_slots() {
        let asked = Server::new("10.0.0.1", 7000);
        let broken = [
            Reply::Nil,
            Reply::List(Vec::new()),
            Reply::List(vec![Reply::Int(1)]),
            Reply::List(vec![range(-1, 5, text("h"), 1)]),
            Reply::List(vec![range(0, 5, text("h"), 70_000)]),
        ];
        for answer in broken {
            assert!(Slots::read(&asked, &answer).is_none(), "{answer:?}");
        }
        let far = Reply::List(vec![range(16_000, 40_000, text("h"), 1)]);
        let slots = Slots::read(&asked, &far).unwrap();
        assert!(slots.server(16_383).is_some() && slots.server(16_384).is_none());
    }
}
