//! Telling an operator why tokens are refused, without a line for each.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    Quoted, Report,
    clock::Timestamp,
    defaults,
    meters::{GuardMeters, Reason},
    token::TokenKind,
    verify::{Verifier, VerifyError},
};

/// Warns of tokens that are refused for a reason that a setting explains: at once, then once in
/// [`REFUSAL_LOG_INTERVAL`](defaults::REFUSAL_LOG_INTERVAL) for each reason, with a count.
///
/// A refusal costs one increment, however many there are; its memory does not depend on tokens.
pub(super) struct Refusals {
    access: [Slot; Reason::COUNT],
    refresh: [Slot; Reason::COUNT],
}

#[derive(Default)]
struct Slot {
    /// Refusals that no line has counted yet.
    uncounted: AtomicU64,
    /// When the last line was written, in milliseconds since the epoch; 0 is never.
    written_at: AtomicU64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            access: std::array::from_fn(|_| Slot::default()),
            refresh: std::array::from_fn(|_| Slot::default()),
        }
    }

    /// Counts a token of `kind` that `verifier` has refused, and writes a line if one is due.
    pub(super) fn refused(
        &self,
        (guard, meters): (&str, &GuardMeters),
        kind: TokenKind,
        token: &str,
        verifier: &Verifier,
        error: &VerifyError,
    ) {
        let reason = Reason::from(error);
        meters.refused(kind, reason);
        if error.advice().is_none() {
            return;
        }
        let slots = match kind {
            TokenKind::Access => &self.access,
            TokenKind::Refresh => &self.refresh,
        };
        let Some(refused) = slots[reason as usize].due(verifier.clock().now()) else {
            return;
        };
        if let Some(explained) = verifier.explain(token, error) {
            tracing::warn!(
                guard = %Quoted(guard),
                kind = kind.typ(),
                refused,
                reason = %Report(error).quoted(),
                found = explained.found.map(|text| display(Quoted(text))),
                expected = explained.expected.map(|text| display(Quoted(text))),
                "tokens are refused: {}",
                explained.advice
            );
        }
    }
}

impl Slot {
    /// Counts one more. How many a line is to tell of now, if one is due; of several threads one writes it.
    fn due(&self, now: Timestamp) -> Option<u64> {
        self.uncounted.fetch_add(1, Ordering::Relaxed);
        let now = now.as_millis().max(1);
        let written_at = self.written_at.load(Ordering::Relaxed);
        let interval = defaults::REFUSAL_LOG_INTERVAL.as_millis();
        // A clock that stepped back must not silence it.
        let is_due =
            written_at == 0 || now < written_at || u128::from(now - written_at) >= interval;
        if !is_due {
            return None;
        }
        self.written_at
            .compare_exchange(written_at, now, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        Some(self.uncounted.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    const INTERVAL: u64 = defaults::REFUSAL_LOG_INTERVAL.as_secs() * 1000;

    #[test]
    fn a_line_is_due_at_once_and_then_once_an_interval_with_a_count() {
        let slot = Slot::default();
        assert_eq!(slot.due(at(0)), Some(1));
        for later in 1..=1000 {
            assert_eq!(slot.due(at(later)), None);
        }
        assert_eq!(slot.due(at(INTERVAL)), Some(1001));
        assert_eq!(slot.due(at(INTERVAL + 1)), None);
        // A clock that was set back.
        assert_eq!(slot.due(at(0)), Some(2));
        assert_eq!(slot.due(at(1)), None);
    }

    #[test]
    fn of_many_threads_one_writes_and_no_refusal_is_lost() {
        let slot = Slot::default();
        let lines: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1_000)
                            .filter_map(|_| slot.due(at(0)))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(lines.len(), 1);
        let rest = slot.due(at(INTERVAL)).unwrap();
        assert_eq!(lines[0] + rest, 8_001);
    }
}
