//! Whether enough happened to prove anything.

use std::time::Duration;

use super::{Answer, Asked, History, Instant};

/// How often it happened what a rule forbids to go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Revocations that were acknowledged.
    pub acked: usize,
    /// Revocations that failed, or of which nothing was heard.
    pub unacked: usize,
    /// Checks that accepted.
    pub accepted: usize,
    /// Strict checks that refused, begun after the acknowledgement to another process.
    pub strict_after: usize,
    /// Mirrored checks that refused without asking, begun later than the bound after the acknowledgement to another
    /// process.
    pub mirror_after: usize,
    /// Mirrored checks that accepted without asking what had been revoked within the bound.
    pub behind: usize,
    /// Mirrored checks that were answered without asking.
    pub at_once: usize,
    /// Checks that did not know.
    pub unknown: usize,
}

impl History {
    /// What happened from `from` on.
    pub fn evidence(&self, max_staleness: Duration, from: Instant) -> Evidence {
        let revoked = self.revoked();
        let mut evidence = Evidence::default();
        for revocation in &self.revocations {
            if revocation.begun >= from {
                match revocation.acked {
                    Some(_) => evidence.acked += 1,
                    None => evidence.unacked += 1,
                }
            }
        }
        for check in self.checks.iter().filter(|check| check.begun >= from) {
            let revoked = &revoked[check.token as usize];
            let others = !revoked.acked_in.contains_key(&check.process);
            let since = |bound| {
                let acked = revoked.acked.filter(|_| others);
                acked.is_some_and(|acked| check.begun > acked + bound)
            };
            let mirror = check.asked == Asked::Mirror && check.at_once;
            evidence.at_once += usize::from(mirror);
            match check.answer {
                Answer::Accepted => {
                    evidence.accepted += 1;
                    evidence.behind += usize::from(mirror && since(Duration::ZERO));
                }
                Answer::Revoked if mirror => {
                    evidence.mirror_after += usize::from(since(max_staleness));
                }
                Answer::Revoked => {
                    let strict = check.asked == Asked::Strict && since(Duration::ZERO);
                    evidence.strict_after += usize::from(strict);
                }
                Answer::Unknown => evidence.unknown += 1,
                Answer::Other(_) => {}
            }
        }
        evidence
    }
}
