//! Which answer belongs to which question?
//!
//! Answers of a server carry no names; they come in the order of the questions. When bytes of an answer are lost on
//! a connection that stays open, each question gets the answer to another, and "not revoked" of one token
//! would be believed of the next. So each `MGET` asks for its last key a few times more than it must, and is
//! answered by as many values: how many changes from one question to the next.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::redis::client::Value;

/// How many more keys the next question has.
#[derive(Debug, Default)]
pub(super) struct Padding(AtomicU64);

impl Padding {
    /// Repeats the last argument so often that the length modulo [`KINDS`] is never that of the question before.
    pub(super) fn add(&self, args: &mut Vec<Value>) {
        let next = |state: u64| {
            let mixed = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // The lowest bits hold the kind, the rest is the generator's.
            let step = 1 + (mixed >> 40) % (KINDS - 1);
            (mixed & !(KINDS - 1)) | ((state % KINDS + step) % KINDS)
        };
        let update = |state| Some(next(state));
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        let kind = before.unwrap_or_default() % KINDS;
        let Some(last) = args.last().cloned() else {
            return;
        };
        while args.len() as u64 % KINDS != kind {
            args.push(last.clone());
        }
    }
}

/// How many lengths are told apart. A power of two.
const KINDS: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_questions_in_a_row_are_never_of_one_length() {
        let padding = Padding::default();
        let mut before = None;
        let mut pairs = 0;
        let mut of_three = [0; 16];
        for round in 0..1_000 {
            // Of 3 to 6 keys, as checks are.
            let mut args = vec![Value::from("k"); 3 + round % 4];
            padding.add(&mut args);
            assert!(args.len() < 6 + 8 && Some(args.len() % 8) != before);
            pairs += usize::from(before.is_some());
            before = Some(args.len() % 8);
            of_three[args.len()] += 1;
        }
        assert_eq!(pairs, 999);
        assert!(
            of_three.iter().filter(|count| **count > 0).count() > 8,
            "{of_three:?}"
        );
    }
}
