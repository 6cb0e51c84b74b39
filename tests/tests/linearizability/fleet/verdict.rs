//! Waiting for what must come, and judging what came.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use jwt_revoke_tests::history::{Answer, Asked, Check, Evidence, Instant, Promise, Violation, now};
use tokio::time::sleep;

use super::{Fleet, MAX_STALENESS, Record, Worker};
use crate::worker::Told;

impl Fleet {
    /// Waits for what must come.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = now();
        while !is_so() {
            assert!(
                now() < start + LONGEST_WAIT,
                "in vain: {what}; {}",
                self.report(&[])
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all processes have accepted by both handles, from now on.
    pub(crate) async fn until_all_accept(&self) {
        let start = now();
        let do_all_accept = || {
            let workers = self.shared.workers.lock().unwrap();
            let record = self.shared.record.lock().unwrap();
            let accepted: HashSet<_> = record
                .since(start)
                .filter(|check| check.answer == Answer::Accepted)
                .map(|check| (check.process, check.asked))
                .collect();
            accepted_by_all(&workers, &accepted)
        };
        self.until("all processes accept", do_all_accept).await;
    }

    /// Waits until a revocation has been acknowledged that began after `start`.
    pub(crate) async fn until_acked(&self, start: Instant) {
        let is_acked = || {
            let record = self.shared.record.lock().unwrap();
            let mut revocations = record.history.revocations.iter().rev();
            revocations.any(|one| one.begun > start && one.acked.is_some())
        };
        self.until("a revocation is acknowledged", is_acked).await;
    }

    /// Waits until every process says of the newest tokens what is true for good: refused where a
    /// revocation was acknowledged, accepted where none was begun.
    pub(crate) async fn settle(&self) {
        self.note("calm");
        let start = now();
        let mut wanted: HashSet<(u32, Asked, u32)> = HashSet::new();
        let revoked = {
            let workers = self.shared.workers.lock().unwrap();
            let record = self.shared.record.lock().unwrap();
            let revoked = record.history.revoked();
            let newest = revoked.len().saturating_sub(SETTLED);
            for (number, token) in (0..).zip(&revoked).skip(newest) {
                if token.acked.is_none() && token.begun.is_some() {
                    continue;
                }
                for worker in &*workers {
                    for asked in [Asked::Strict, Asked::Mirror] {
                        wanted.insert((worker.process, asked, number));
                    }
                }
            }
            revoked
        };
        while !wanted.is_empty() {
            assert!(
                now() < start + LONGEST_WAIT,
                "in vain: all processes tell of all tokens what is true; {wanted:?}; {}",
                self.report(&[])
            );
            {
                let workers = self.shared.workers.lock().unwrap();
                let numbers: BTreeSet<_> = wanted.iter().map(|(.., number)| *number).collect();
                for worker in &*workers {
                    for number in &numbers {
                        let _ = worker.tell.send(Told::Look(*number));
                    }
                }
            }
            sleep(Duration::from_secs(2)).await;
            let record = self.shared.record.lock().unwrap();
            for check in record.since(start) {
                let is_true = match revoked[check.token as usize].acked {
                    Some(_) => Answer::Revoked,
                    None => Answer::Accepted,
                };
                if check.answer == is_true {
                    wanted.remove(&(check.process, check.asked, check.token));
                }
            }
        }
    }

    /// What broke a rule so far.
    pub(crate) fn violations(&self, one_history: bool) -> Vec<Violation> {
        let record = self.shared.record.lock().unwrap();
        record.history.violations(Promise {
            max_staleness: MAX_STALENESS,
            one_history,
        })
    }

    /// What happened since `from`.
    pub(crate) fn evidence(&self, from: Instant) -> Evidence {
        let record = self.shared.record.lock().unwrap();
        record.history.evidence(MAX_STALENESS, from)
    }

    /// # Panics
    ///
    /// When a rule was broken.
    pub(crate) fn assert_kept(&self, one_history: bool) {
        let violations = self.violations(one_history);
        let report = self.report(&violations);
        println!("{report}");
        assert!(violations.is_empty(), "{report}");
    }

    /// What happened, in words.
    pub(crate) fn report(&self, violations: &[Violation]) -> String {
        let evidence = self.evidence(Instant::ZERO);
        let record = self.shared.record.lock().unwrap();
        let mut report = format!("LINEARIZABILITY_SEED={} {evidence:?}", self.seed);
        for (at, fault) in &record.faults {
            report.push_str(&format!("\n  {at:?} {fault}"));
        }
        report.push_str(&format!("\n{} violations", violations.len()));
        for violation in violations.iter().take(10) {
            report.push_str(&format!("\n  {violation}"));
            let token = &record.history.tokens[violation.check.token as usize];
            for revocation in &record.history.revocations {
                let covers = revocation.target.names(violation.check.token, token);
                if covers {
                    report.push_str(&format!("\n    {revocation:?}"));
                }
            }
        }
        report
    }
}

impl Record {
    /// The checks that began after `start`.
    fn since(&self, start: Instant) -> impl Iterator<Item = &Check> {
        self.history
            .checks
            .iter()
            .filter(move |check| check.begun > start)
    }
}

fn accepted_by_all(workers: &[Worker], accepted: &HashSet<(u32, Asked)>) -> bool {
    workers.iter().all(|worker| {
        let by = |asked| accepted.contains(&(worker.process, asked));
        by(Asked::Strict) && by(Asked::Mirror)
    })
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Of how many tokens the end of a run is waited for.
const SETTLED: usize = 400;
