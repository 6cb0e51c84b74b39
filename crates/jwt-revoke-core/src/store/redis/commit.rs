//! Group commit: scripts that are to be durable, and the wait for their confirmation.
//!
//! # What a confirmation proves, and how
//!
//! `WAIT` and `WAITAOF` wait for what *their own connection* wrote last. Three ways in which that would
//! prove nothing:
//!
//! - The connection broke between script and `WAIT`, and the second came to another primary, or to the
//!   same one over a connection that has written nothing: it returns at once. So a group is bracketed: its
//!   first command gives the connection a name that was never used before, its last asks for it. A
//!   client goes from one connection to the next and never back, so the same name at both ends means that
//!   all between them went over one connection, to one server.
//! - The script wrote nothing, because a write is repeated whose answer was lost, or that was not
//!   confirmed in time. Since Redis 7.2 `WAIT` then returns for an older write of the connection, before that for
//!   none. So each group ends in a write of its own, a key that expires. A server has one stream of changes:
//!   whoever has this one has all that the scripts found there, whoever wrote it and when.
//! - The old write was lost in a failover, so that the new primary never got it. The script is sent
//!   again with each repetition, over the connection that waits, and writes what is missing.
//!
//! A server that was demoted answers its blocked `WAIT` with an error. So the script's answer and the wait's
//! are about one history, and it is the one that the replicas have confirmed.
//!
//! # Groups
//!
//! A waiting connection is blocked, so these are connections of their own, one a server: one
//! [`Lane`]. What comes while a group waits makes up the next, so as many writes as there are callers share
//! one wait.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::rand;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use crate::{
    revocation::Shard,
    store::redis::{
        client::{Command, Config, Link, LinkOptions, Server},
        durability::Proof,
        failure::Failure,
        keys::shard_slot,
        reply::Reply,
        scripts::Script,
        words::Words,
    },
};

/// The connections that wait for confirmations.
pub(super) struct Commits {
    setup: Setup,
    config: Config,
    /// By the server of a Cluster; by `None` where there is one.
    lanes: Mutex<HashMap<Option<Server>, Lane>>,
    runtime: Handle,
}

/// What a script answered, and what is missing of the durability that was asked for.
pub(super) struct Committed {
    pub(super) answer: Vec<Reply>,
    /// In words; `None` if it is durable.
    pub(super) missing: Option<String>,
}

#[derive(Clone, Copy)]
struct Setup {
    proof: Proof,
    options: LinkOptions,
}

/// Where writes for one server queue up. Its connection is closed when it is dropped.
type Lane = mpsc::Sender<Write>;

/// A write that waits for its turn.
struct Write {
    command: Command,
    /// A key on the same server, to be written at the end of the group.
    mark: String,
    answer: oneshot::Sender<Result<(Reply, Option<String>), Failure>>,
}

impl Commits {
    pub(super) fn new(
        proof: Proof,
        config: &Config,
        options: LinkOptions,
        runtime: Handle,
    ) -> Self {
        Self {
            setup: Setup { proof, options },
            config: config.clone(),
            lanes: Mutex::default(),
            runtime,
        }
    }

    /// Runs a script on the primary of `slot`, and waits for its confirmation. `routes` knows where the
    /// slots of a Cluster are; it is `None` where there is one server.
    pub(super) async fn run(
        &self,
        routes: Option<&Link>,
        slot: u16,
        mark: String,
        script: &'static Script,
        words: &Words,
    ) -> Result<Committed, Failure> {
        let lane = self.lane(routes, slot)?;
        let call = |name, words| Command { name, args: words };
        let known = call("EVALSHA", words.of_script(script.sha()));
        let mut answer = write(&lane, known, mark.clone()).await;
        if matches!(&answer, Err(failure) if failure.is_no_script()) {
            let told = call("EVAL", words.of_script(script.text()));
            answer = write(&lane, told, mark).await;
        }
        match answer {
            Ok((Reply::List(answer), missing)) => Ok(Committed { answer, missing }),
            Ok((other, _)) => Err(Failure::odd(format!("a script answered {other:?}"))),
            Err(failure) => Err(failure),
        }
    }

    /// The command by which a server tells whether it can confirm.
    pub(super) fn trial(&self) -> Command {
        self.setup.proof.trial()
    }

    fn lane(&self, routes: Option<&Link>, slot: u16) -> Result<Lane, Failure> {
        let unknown = || Failure::Unreachable("no server has the slot".to_owned());
        let server = match routes {
            Some(routes) => Some(routes.server_of(slot).ok_or_else(unknown)?),
            None => None,
        };
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&server).filter(|lane| !lane.is_closed()) {
            return Ok(lane.clone());
        }
        if let Some(routes) = routes {
            // Of servers that have left.
            let serving: Vec<_> = Shard::all()
                .map(|shard| routes.server_of(shard_slot(shard)))
                .collect();
            lanes.retain(|server, _| serving.contains(server));
        }
        let mut config = self.config.clone();
        if let Some(server) = &server {
            config = config.of_server(server.clone());
        }
        let _runtime = self.runtime.enter();
        let link = Link::start(config, self.setup.options);
        let (lane, writes) = mpsc::channel(QUEUE);
        tokio::spawn(serve(link, self.setup, writes));
        lanes.insert(server, lane.clone());
        Ok(lane)
    }
}

async fn write(
    lane: &Lane,
    command: Command,
    mark: String,
) -> Result<(Reply, Option<String>), Failure> {
    let (answer, answered) = oneshot::channel();
    let ended = || Failure::Unreachable("its connection has ended".to_owned());
    let write = Write {
        command,
        mark,
        answer,
    };
    lane.try_send(write).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => {
            Failure::Unreachable("too many writes wait for it already".to_owned())
        }
        mpsc::error::TrySendError::Closed(_) => ended(),
    })?;
    answered.await.unwrap_or_else(|_| Err(ended()))
}

/// Writes what comes, a group at a time, until nobody can write any more.
async fn serve(link: Link, setup: Setup, mut writes: mpsc::Receiver<Write>) {
    let mut group = Vec::new();
    while writes.recv_many(&mut group, GROUP).await > 0 {
        // Whoever gave up was told that it is unknown, and may have sent it again.
        group.retain(|write| !write.answer.is_closed());
        if !group.is_empty() {
            commit(&link, setup, std::mem::take(&mut group)).await;
        }
    }
}

/// Sends a group of writes and the wait for all of them, and tells each how it went.
async fn commit(link: &Link, setup: Setup, group: Vec<Write>) {
    let name = match fresh_name() {
        Ok(name) => name,
        Err(failure) => {
            return group
                .into_iter()
                .for_each(|write| write.tell(Err(failure.clone())));
        }
    };
    let mark = group
        .first()
        .map_or(String::new(), |write| write.mark.clone());
    let mut commands = vec![Command::of("CLIENT", &["SETNAME", &name])];
    let mut answers = Vec::with_capacity(group.len());
    for write in group {
        commands.push(write.command);
        answers.push(write.answer);
    }
    commands.push(Command::of("SET", &[&mark, "", "PX", MARK_LIFE]));
    commands.push(setup.proof.command());
    commands.push(Command::of("CLIENT", &["GETNAME"]));
    let timeout = setup.proof.timeout();
    let bound = timeout.saturating_add(setup.options.timeout / 3);
    let replies = match link.send_all(commands, bound).await {
        Ok(replies) => replies,
        Err(failure) => {
            return answers.into_iter().for_each(|answer| {
                let _ = answer.send(Err(failure.clone()));
            });
        }
    };
    let missing = judge(setup.proof, &name, &replies);
    for (answer, reply) in answers.into_iter().zip(replies.into_iter().skip(1)) {
        let told = reply.and_then(|reply| Ok((reply, missing.clone()?)));
        let _ = answer.send(told.map_err(moved));
    }
}

/// What is missing of the durability of a group, if that can be told.
fn judge(
    proof: Proof,
    name: &str,
    replies: &[Result<Reply, Failure>],
) -> Result<Option<String>, Failure> {
    let [named, .., marked, waited, asked] = replies else {
        return Err(Failure::odd("a group of writes was answered too little"));
    };
    for reply in [named, marked, waited, asked] {
        if let Err(failure) = reply {
            return Err(failure.clone());
        }
    }
    if !matches!(asked, Ok(Reply::Text(asked)) if asked == name.as_bytes()) {
        let reason = "the connection broke during a write";
        return Err(Failure::Unreachable(reason.to_owned()));
    }
    let waited = waited.as_ref().map_err(Clone::clone)?;
    proof.missing(waited)
}

impl Write {
    fn tell(self, told: Result<(Reply, Option<String>), Failure>) {
        let _ = self.answer.send(told);
    }
}

/// A slot that has just moved to another server: it is known in a moment where.
fn moved(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(words) if words.starts_with("MOVED") || words.starts_with("ASK") => {
            Failure::Unreachable(words)
        }
        failure => failure,
    }
}

/// A name that no connection ever had.
fn fresh_name() -> Result<String, Failure> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| Failure::odd("the system has no random numbers"))?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(format!(
        "jwt-revoke-{:016x}-{count:x}",
        u64::from_ne_bytes(bytes)
    ))
}

/// How long the key lives that a group ends in, ms.
const MARK_LIFE: &str = "60000";

/// The most writes of a group.
const GROUP: usize = 512;

/// How many writes may wait for their turn. Beyond, they fail at once.
const QUEUE: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::redis::Durability;

    fn proof() -> Proof {
        let second = Duration::from_secs(1);
        let durability = Durability::Replicated {
            replicas: 1,
            timeout: second,
        };
        durability.proof(2 * second).unwrap().unwrap()
    }

    fn replies(counted: i64, name: &str) -> Vec<Result<Reply, Failure>> {
        let ok = || Ok(Reply::Text(b"OK".to_vec()));
        let script = Ok(Reply::List(Vec::new()));
        let name = Ok(Reply::Text(name.as_bytes().to_vec()));
        vec![ok(), script, ok(), Ok(Reply::Int(counted)), name]
    }

    #[test]
    fn r4_a_wait_on_another_connection_than_the_write_proves_nothing() {
        assert_eq!(judge(proof(), "a", &replies(1, "a")), Ok(None));
        assert!(judge(proof(), "a", &replies(1, "b")).is_err());
        let mut unnamed = replies(1, "a");
        unnamed[4] = Ok(Reply::Nil);
        assert!(judge(proof(), "a", &unnamed).is_err());
        for missing in [0, 2, 3] {
            let mut broken = replies(1, "a");
            broken[missing] = Err(Failure::Unreachable("broken".to_owned()));
            assert!(judge(proof(), "a", &broken).is_err(), "{missing}");
        }
        assert!(matches!(judge(proof(), "a", &replies(0, "a")), Ok(Some(_))));
    }

    #[test]
    fn no_two_groups_have_one_name() {
        let names: std::collections::HashSet<_> =
            (0..1_000).map(|_| fresh_name().unwrap()).collect();
        assert_eq!(names.len(), 1_000);
    }
}
