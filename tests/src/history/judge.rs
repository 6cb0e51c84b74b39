//! The rules.

use std::{collections::HashMap, fmt, time::Duration};

use super::{Answer, Asked, Check, History, Instant};

/// What was promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// How old the knowledge of a mirrored check may be.
    pub max_staleness: Duration,
    /// Whether the store answers from one history, or is given back what it lost before it answers
    /// again. Without this only what a process knows is promised to it.
    pub one_history: bool,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A strict check that begins after a revocation was acknowledged does not accept.
    Strict,
    /// A mirrored check that begins longer than the bound after that does not accept.
    Staleness,
    /// In the process that revoked, no check accepts that begins after the acknowledgement.
    OwnWrites,
    /// A process that has once refused a token as revoked does not accept it again.
    NoResurrection,
    /// Nothing is refused as revoked unless a revocation that may cover it had begun.
    NoFalseRefusal,
    /// A check accepts, says that the token is revoked, or says that it does not know.
    NothingElse,
}

/// A check that broke a rule.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// The check.
    pub check: Check,
    /// What forbids it happened then.
    pub since: Option<Instant>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, check, since } = self;
        write!(f, "{rule:?}: {check:?}")?;
        match since {
            Some(since) => {
                let after = check.begun.saturating_sub(*since);
                write!(f, ", begun {after:?} after {since:?}")
            }
            None => Ok(()),
        }
    }
}

impl History {
    /// All checks that broke a rule.
    pub fn violations(&self, promise: Promise) -> Vec<Violation> {
        let revoked = self.revoked();
        let refused = self.refused();
        let mut violations = Vec::new();
        for check in &self.checks {
            let revoked = &revoked[check.token as usize];
            let mut broken = |rule, since| {
                let check = check.clone();
                violations.push(Violation { rule, check, since });
            };
            match &check.answer {
                Answer::Unknown => {}
                Answer::Other(_) => broken(Rule::NothingElse, None),
                Answer::Revoked => {
                    if revoked.begun.is_none_or(|begun| begun > check.ended) {
                        broken(Rule::NoFalseRefusal, revoked.begun);
                    }
                }
                Answer::Accepted => {
                    let mut forbids = |rule, since: Option<Instant>, bound: Duration| {
                        if since.is_some_and(|since| check.begun > since + bound) {
                            broken(rule, since);
                        }
                    };
                    let acked = revoked.acked.filter(|_| promise.one_history);
                    match check.asked {
                        Asked::Strict => forbids(Rule::Strict, acked, Duration::ZERO),
                        Asked::Mirror => forbids(Rule::Staleness, acked, promise.max_staleness),
                    }
                    let own = revoked.acked_in.get(&check.process).copied();
                    forbids(Rule::OwnWrites, own, Duration::ZERO);
                    let known = refused.get(&(check.process, check.token)).copied();
                    forbids(Rule::NoResurrection, known, Duration::ZERO);
                }
            }
        }
        violations
    }

    /// When each process first knew that a token is revoked: the end of its first such refusal.
    fn refused(&self) -> HashMap<(u32, u32), Instant> {
        let mut refused = HashMap::new();
        for check in &self.checks {
            if check.answer == Answer::Revoked {
                let known = refused.entry((check.process, check.token));
                let known = known.or_insert(check.ended);
                *known = check.ended.min(*known);
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Revocation, Target, Token},
        *,
    };

    const BOUND: Duration = Duration::from_millis(500);

    const ONE_HISTORY: Promise = Promise {
        max_staleness: BOUND,
        one_history: true,
    };

    const SEVERAL: Promise = Promise {
        one_history: false,
        ..ONE_HISTORY
    };

    fn at(millis: u64) -> Instant {
        Duration::from_millis(millis)
    }

    /// Tokens 0 and 1 of session 0, and 2 of session 1, all of subject 0; 3 of session 2 of subject 1. Process 7
    /// revokes from 1000 to 1100.
    fn revoked(target: Target) -> History {
        let token = |session, subject| Token {
            session,
            subject,
            made: at(10),
        };
        History {
            tokens: vec![token(0, 0), token(0, 0), token(1, 0), token(2, 1)],
            revocations: vec![Revocation {
                process: 7,
                target,
                begun: at(1_000),
                acked: Some(at(1_100)),
            }],
            checks: Vec::new(),
        }
    }

    fn check(process: u32, token: u32, asked: Asked, begun: u64, answer: Answer) -> Check {
        Check {
            process,
            token,
            asked,
            begun: at(begun),
            ended: at(begun + 5),
            at_once: asked == Asked::Mirror,
            answer,
        }
    }

    fn rules(history: &History, promise: Promise) -> Vec<Rule> {
        let violations = history.violations(promise);
        violations.iter().map(|broken| broken.rule).collect()
    }

    fn judge(target: Target, checks: &[Check], promise: Promise) -> Vec<Rule> {
        let mut history = revoked(target);
        history.checks = checks.to_vec();
        rules(&history, promise)
    }

    use Answer::{Accepted, Revoked, Unknown};
    use Asked::{Mirror, Strict};

    #[test]
    fn a_strict_check_after_the_acknowledgement_must_not_accept() {
        let one = |begun, answer| {
            let check = check(1, 0, Strict, begun, answer);
            judge(Target::Token(0), &[check], ONE_HISTORY)
        };
        assert_eq!(one(1_101, Accepted), [Rule::Strict]);
        assert_eq!(one(9_000, Accepted), [Rule::Strict]);
        // One that overlaps the revocation may have been first.
        assert_eq!(one(1_099, Accepted), []);
        assert_eq!(one(900, Accepted), []);
        assert_eq!(one(1_101, Revoked), []);
        assert_eq!(one(1_101, Unknown), []);
    }

    #[test]
    fn a_mirrored_check_may_be_behind_by_the_bound_and_no_further() {
        let one = |begun| {
            let check = check(1, 0, Mirror, begun, Accepted);
            judge(Target::Token(0), &[check], ONE_HISTORY)
        };
        assert_eq!(one(1_600), []);
        assert_eq!(one(1_601), [Rule::Staleness]);
    }

    #[test]
    fn a_process_knows_at_once_what_it_revoked_itself() {
        for asked in [Mirror, Strict] {
            let one = |process, promise| {
                let check = check(process, 0, asked, 1_101, Accepted);
                judge(Target::Token(0), &[check], promise)
            };
            assert!(one(7, ONE_HISTORY).contains(&Rule::OwnWrites));
            // Whatever became of the store.
            assert_eq!(one(7, SEVERAL), [Rule::OwnWrites]);
            assert_eq!(one(1, SEVERAL), []);
        }
    }

    #[test]
    fn what_a_process_has_refused_it_refuses() {
        for promise in [ONE_HISTORY, SEVERAL] {
            let then = |process, begun| {
                let checks = [
                    check(1, 0, Strict, 1_050, Revoked),
                    check(process, 0, Mirror, begun, Accepted),
                ];
                judge(Target::Token(0), &checks, promise)
            };
            assert_eq!(then(1, 1_056), [Rule::NoResurrection]);
            assert_eq!(then(1, 1_054), [], "at the same time");
            assert_eq!(then(2, 1_056), [], "another process");
        }
        // In whichever order they were written down.
        let checks = [
            check(1, 0, Mirror, 1_300, Accepted),
            check(1, 0, Mirror, 1_400, Revoked),
            check(1, 0, Mirror, 1_200, Revoked),
        ];
        let broken = judge(Target::Token(0), &checks, SEVERAL);
        assert_eq!(broken, [Rule::NoResurrection]);
    }

    #[test]
    fn nothing_is_refused_before_somebody_began_to_revoke_it() {
        let one = |token, begun, answer| {
            let check = check(1, token, Strict, begun, answer);
            judge(Target::Token(0), &[check], SEVERAL)
        };
        assert_eq!(one(0, 900, Revoked), [Rule::NoFalseRefusal]);
        assert_eq!(one(0, 996, Revoked), [], "it ended later");
        assert_eq!(one(1, 2_000, Revoked), [Rule::NoFalseRefusal]);
        assert_eq!(one(1, 2_000, Unknown), []);
    }

    #[test]
    fn any_other_answer_is_wrong() {
        for promise in [ONE_HISTORY, SEVERAL] {
            let other = Answer::Other("401: the token is invalid".to_owned());
            let check = check(1, 3, Strict, 2_000, other);
            let broken = judge(Target::Token(0), &[check], promise);
            assert_eq!(broken, [Rule::NothingElse]);
        }
    }

    #[test]
    fn a_revocation_covers_what_belongs_to_its_target() {
        let accepted = |target| {
            let checks = [0, 1, 2, 3].map(|token| check(1, token, Strict, 2_000, Accepted));
            judge(target, &checks, ONE_HISTORY).len()
        };
        assert_eq!(accepted(Target::Token(1)), 1);
        assert_eq!(accepted(Target::Session(0)), 2);
        assert_eq!(accepted(Target::Subject(0)), 3);
        assert_eq!(accepted(Target::Subject(1)), 1);
    }

    #[test]
    fn what_a_subject_got_after_its_cutoff_is_not_covered_and_in_between_either_may_be_true() {
        let made = |made, answer| {
            let mut history = revoked(Target::Subject(0));
            history.tokens[0].made = at(made);
            history.checks = vec![check(1, 0, Strict, 2_000, answer)];
            rules(&history, ONE_HISTORY)
        };
        assert_eq!(made(999, Accepted), [Rule::Strict]);
        assert_eq!(made(1_050, Accepted), []);
        assert_eq!(made(1_050, Revoked), []);
        assert_eq!(made(1_101, Revoked), [], "the clocks may differ a little");
        assert_eq!(made(1_300, Revoked), [Rule::NoFalseRefusal]);
        assert_eq!(made(1_300, Accepted), []);
    }

    #[test]
    fn a_revocation_that_was_not_acknowledged_may_be_in_force_or_not() {
        for answer in [Accepted, Revoked, Unknown] {
            let mut history = revoked(Target::Subject(0));
            history.revocations[0].acked = None;
            history.checks = vec![check(7, 0, Strict, 2_000, answer)];
            assert_eq!(rules(&history, ONE_HISTORY), []);
            // So may its cutoff lie anywhere later.
            history.tokens[0].made = at(1_900);
            assert_eq!(rules(&history, ONE_HISTORY), []);
        }
    }

    #[test]
    fn of_several_revocations_the_first_acknowledged_counts() {
        let mut history = revoked(Target::Token(0));
        let later = Revocation {
            process: 1,
            target: Target::Subject(0),
            begun: at(500),
            acked: Some(at(5_000)),
        };
        history.revocations.insert(0, later);
        history.checks = vec![
            check(1, 0, Strict, 1_200, Accepted),
            check(2, 0, Strict, 600, Revoked),
        ];
        assert_eq!(
            rules(&history, ONE_HISTORY),
            [Rule::Strict],
            "the check of 600 is refused by the one that began at 500"
        );
    }
}
