//! How durable a write must be before it is acknowledged.

use std::time::Duration;

use crate::store::redis::{client::Command, failure::Failure, reply::Reply};

/// How durable a write is before whoever asked for it hears that it was done: revocations, and the steps
/// of sessions. Set by [`RedisBuilder::with_durability`](crate::store::RedisBuilder::with_durability).
///
/// A write that fewer confirm in time is an error ([`StoreError::Unconfirmed`]): a failover may or may not
/// forget it. This process refuses what it revoked all the same, and to ask again does no harm: the answer
/// to a repeated write is as durable as to the first.
///
/// [`StoreError::Unconfirmed`]: crate::store::StoreError::Unconfirmed
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// As the server is set up: what a crash or a failover forgets is put back by processes that
    /// remember it.
    #[default]
    Configured,
    /// So many replicas have it (`WAIT`), so a failover to one of them keeps it. A failover to another
    /// replica may not: ask for as many as there are, or so many that the one that is promoted is among them.
    Replicated {
        /// At least 1.
        replicas: u32,
        /// How long the server waits for them: at least 1 ms, at most half of the
        /// [write timeout](crate::store::RedisBuilder::with_write_timeout).
        timeout: Duration,
    },
    /// It is on the primary's disk, and on that of so many replicas (`WAITAOF`): it survives a crash of
    /// the host. Needs Redis 7.2 or Valkey with `appendonly yes`; connecting to another server fails.
    ///
    /// Use `appendfsync always`: with `everysec` some servers, Valkey 9.1 among them, confirm before the disk
    /// has it (`docs/redis.md`).
    Fsynced {
        /// How many replicas beside the primary; 0 for it alone.
        replicas: u32,
        /// How long the server waits for the disks. With `appendfsync everysec` it takes up to a second,
        /// and a write as long. The bounds are as above.
        timeout: Duration,
    },
}

impl Durability {
    /// What is to confirm a write; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// What is wrong with it beside this bound for writes.
    pub(super) fn proof(self, write_timeout: Duration) -> Result<Option<Proof>, String> {
        let (by, timeout) = match self {
            Self::Configured => return Ok(None),
            Self::Replicated { replicas: 0, .. } => {
                return Err("durability by replication needs at least 1 replica".to_owned());
            }
            Self::Replicated { replicas, timeout } => (By::Replicas(replicas), timeout),
            Self::Fsynced { replicas, timeout } => (By::Disks { replicas }, timeout),
        };
        let most = write_timeout / 2;
        if timeout < SHORTEST || timeout > most {
            return Err(format!(
                "a write cannot wait {timeout:?} for confirmations: at least 1 ms, and at most half of the \
                 write timeout, {most:?}"
            ));
        }
        Ok(Some(Proof { by, timeout }))
    }
}

/// What proves that a write is durable: who confirms it, and within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    by: By,
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// So many replicas.
    Replicas(u32),
    /// The primary's disk, and those of so many replicas.
    Disks { replicas: u32 },
}

impl Proof {
    /// How long the server waits for confirmations.
    pub(super) fn timeout(self) -> Duration {
        self.timeout
    }

    /// The command that waits for confirmations.
    pub(super) fn command(self) -> Command {
        self.command_within(self.timeout)
    }

    /// The command by which a server tells whether it can confirm, hardly waiting for it.
    pub(super) fn trial(self) -> Command {
        self.command_within(SHORTEST)
    }

    fn command_within(self, timeout: Duration) -> Command {
        let millis = timeout.as_millis().to_string();
        match self.by {
            By::Replicas(replicas) => Command::of("WAIT", &[&replicas.to_string(), &millis]),
            By::Disks { replicas } => {
                Command::of("WAITAOF", &["1", &replicas.to_string(), &millis])
            }
        }
    }

    /// What is missing by the answer to that command, in words; `None` if nothing is.
    pub(super) fn missing(self, answer: &Reply) -> Result<Option<String>, Failure> {
        let number = |reply: &Reply| {
            let odd = || Failure::odd(format!("WAIT answered {answer:?}"));
            reply.number().ok_or_else(odd)
        };
        let short = match (self.by, answer) {
            (By::Disks { replicas }, Reply::List(counts)) if counts.len() == 2 => {
                let (local, remote) = (number(&counts[0])?, number(&counts[1])?);
                let words =
                    format!("{local} of 1 disk of its own and {remote} of {replicas} of replicas");
                (local < 1 || remote < u64::from(replicas)).then_some(words)
            }
            (By::Disks { .. }, other) => {
                return Err(Failure::odd(format!("WAITAOF answered {other:?}")));
            }
            (By::Replicas(replicas), counted) => {
                let counted = number(counted)?;
                let words = format!("{counted} of {replicas} replicas");
                (counted < u64::from(replicas)).then_some(words)
            }
        };
        let within = self.timeout;
        Ok(short.map(|short| format!("{short} within {within:?}")))
    }
}

const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_makes_no_sense_is_refused() {
        let replicated = |replicas, timeout| Durability::Replicated { replicas, timeout };
        let fsynced = |timeout| Durability::Fsynced {
            replicas: 0,
            timeout,
        };
        for nonsense in [
            replicated(0, SECOND),
            replicated(1, Duration::ZERO),
            replicated(1, Duration::from_micros(999)),
            replicated(1, Duration::from_millis(1_001)),
            fsynced(Duration::ZERO),
            fsynced(Duration::MAX),
        ] {
            assert!(nonsense.proof(2 * SECOND).is_err(), "{nonsense:?}");
        }
        for sense in [replicated(1, SECOND), fsynced(SECOND)] {
            assert!(matches!(sense.proof(2 * SECOND), Ok(Some(_))));
        }
        assert_eq!(Durability::Configured.proof(2 * SECOND), Ok(None));
    }

    #[test]
    fn fewer_confirmations_than_asked_for_are_too_few() {
        let wanted = Proof {
            by: By::Replicas(2),
            timeout: SECOND,
        };
        assert!(wanted.missing(&Reply::Int(1)).unwrap().is_some());
        assert_eq!(wanted.missing(&Reply::Int(2)), Ok(None));
        assert!(wanted.missing(&Reply::Nil).is_err());
        let wanted = Proof {
            by: By::Disks { replicas: 1 },
            timeout: SECOND,
        };
        let answer = |local, remote| Reply::List(vec![Reply::Int(local), Reply::Int(remote)]);
        assert!(wanted.missing(&answer(0, 1)).unwrap().is_some());
        assert!(wanted.missing(&answer(1, 0)).unwrap().is_some());
        assert_eq!(wanted.missing(&answer(1, 1)), Ok(None));
        assert!(wanted.missing(&Reply::Int(1)).is_err());
    }
}
