//! Which server is the primary, by the sentinels.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout_at};

use crate::store::redis::{
    client::{Command, Config, Sentinels, Server, wire::Wire},
    failure::Failure,
    reply::Reply,
};

/// Sentinels that are asked: those of the address, and those that they know.
pub(super) struct Watchers {
    service: String,
    username: Option<String>,
    password: Option<String>,
    named: usize,
    hosts: Vec<Server>,
}

/// What a sentinel said.
struct Said {
    primary: Server,
    others: Vec<Server>,
}

impl Watchers {
    pub(super) fn new(sentinels: &Sentinels) -> Self {
        Self {
            service: sentinels.service.clone(),
            username: sentinels.username.clone(),
            password: sentinels.password.clone(),
            named: sentinels.hosts.len(),
            hosts: sentinels.hosts.clone(),
        }
    }

    /// Connects to the primary. Given up as soon as the sentinels name another.
    pub(super) async fn open_primary(
        &mut self,
        config: &Config,
        bound: Duration,
    ) -> Result<Wire, Failure> {
        let server = self.primary(config, bound).await?;
        let wire = tokio::select! {
            wire = Wire::open(&server, config, bound) => wire?,
            () = self.until_another(&server, config, bound) => {
                return Err(Failure::Unreachable("the sentinels name another primary".to_owned()));
            }
        };
        match wire.send(Command::of("ROLE", &[]), bound).await? {
            Reply::List(role) if role.first().and_then(Reply::text) == Some("master") => Ok(wire),
            _ => Err(Failure::Unreachable(format!(
                "the sentinels name {server}, which is no primary"
            ))),
        }
    }

    async fn until_another(&mut self, server: &Server, config: &Config, bound: Duration) {
        loop {
            sleep(AGAIN).await;
            if self
                .primary(config, bound)
                .await
                .is_ok_and(|named| named != *server)
            {
                return;
            }
        }
    }

    /// The server that most sentinels name. All are asked at a time, so one that hangs holds up nothing.
    pub(super) async fn primary(
        &mut self,
        config: &Config,
        bound: Duration,
    ) -> Result<Server, Failure> {
        let mut deadline = Instant::now() + bound;
        let asks = self.hosts.iter().map(|host| self.ask(host, config, bound));
        let mut asks: FuturesUnordered<_> = asks.collect();
        let mut votes: HashMap<Server, usize> = HashMap::new();
        let (mut others, mut failure) = (Vec::new(), None);
        let most = asks.len();
        while let Ok(Some(said)) = timeout_at(deadline, asks.next()).await {
            match said {
                Ok(said) => {
                    let count = votes.entry(said.primary).or_default();
                    *count += 1;
                    others.extend(said.others);
                    if 2 * *count > most {
                        break;
                    }
                    deadline = deadline.min(Instant::now() + GRACE);
                }
                Err(other) => failure = Some(other),
            }
        }
        drop(asks);
        for other in others {
            if self.hosts.len() < MOST && !self.hosts.contains(&other) {
                self.hosts.push(other);
            }
        }
        let chosen = votes.into_iter().max_by_key(|(_, count)| *count);
        match (chosen, failure) {
            (Some((server, _)), _) => Ok(server),
            // Learned addresses may be out of date: start again from those that were named.
            (None, failure) => {
                self.hosts.truncate(self.named);
                Err(failure.unwrap_or(Failure::TimedOut(bound)))
            }
        }
    }

    async fn ask(&self, host: &Server, config: &Config, bound: Duration) -> Result<Said, Failure> {
        let config = Config {
            username: self.username.clone(),
            password: self.password.clone(),
            database: None,
            resp3: false,
            ..config.of_server(host.clone())
        };
        let wire = Wire::open_first(host, &config, bound).await?;
        let service = self.service.as_str();
        let commands = vec![
            Command::of("SENTINEL", &["GET-MASTER-ADDR-BY-NAME", service]),
            Command::of("SENTINEL", &["SENTINELS", service]),
        ];
        let mut answers = wire.send_all(commands, bound).await?.into_iter();
        let (primary, others) = (answers.next(), answers.next());
        let primary = match primary {
            Some(Ok(Reply::List(address))) => match address.as_slice() {
                [host, port] => host.text().zip(port.number()),
                _ => None,
            }
            .and_then(|(host, port)| Some(Server::new(host, u16::try_from(port).ok()?)))
            .ok_or_else(|| Failure::odd("a sentinel named no address"))?,
            Some(Ok(_)) => {
                return Err(Failure::Refused(format!(
                    "ERR the sentinel at {host} watches no group with the name {service:.40}: correct ?service="
                )));
            }
            Some(Err(Failure::Refused(words))) if words.contains("unknown command") => {
                return Err(Failure::Refused(format!(
                    "ERR {host} is no sentinel: write redis:// instead of redis-sentinel://, or give the \
                     sentinels' port ({words:.80})"
                )));
            }
            Some(Err(failure)) => return Err(failure),
            None => return Err(Failure::odd("a sentinel did not answer")),
        };
        let others = others
            .and_then(Result::ok)
            .map_or(Vec::new(), |list| addresses(&list));
        Ok(Said { primary, others })
    }
}

/// Reads `[[name, value, ..], ..]`.
fn addresses(list: &Reply) -> Vec<Server> {
    let Reply::List(list) = list else {
        return Vec::new();
    };
    let read = list.iter().filter_map(|sentinel| {
        let Reply::List(fields) = sentinel else {
            return None;
        };
        let field = |name| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| (pair[0].text() == Some(name)).then_some(&pair[1]))
        };
        let port = u16::try_from(field("port")?.number()?).ok()?;
        Some(Server::new(field("ip")?.text()?, port))
    });
    read.collect()
}

/// How long is waited for further sentinels when one has answered.
const GRACE: Duration = Duration::from_millis(100);

/// How often the sentinels are asked while the primary that they named is being connected to.
const AGAIN: Duration = Duration::from_millis(500);

/// The most sentinels that are asked.
const MOST: usize = 16;
