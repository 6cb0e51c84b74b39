//! Which revocations concern a token.

use std::{collections::HashMap, time::Duration};

use super::{History, Instant, Revocation, Target, Token};

/// What is known of the revocations of one token.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    /// When the first that may cover it began.
    pub begun: Option<Instant>,
    /// When the first that surely covers it was acknowledged.
    pub acked: Option<Instant>,
    /// The same, by the process that revoked.
    pub acked_in: HashMap<u32, Instant>,
}

impl Target {
    /// Whether it is a token, or what the token belongs to.
    pub fn names(self, number: u32, token: &Token) -> bool {
        match self {
            Self::Token(one) => one == number,
            Self::Session(session) => session == token.session,
            Self::Subject(subject) => subject == token.subject,
        }
    }
}

impl History {
    /// The numbers of all tokens that `target` names.
    pub fn named(&self, target: Target) -> Vec<u32> {
        let tokens = (0..).zip(&self.tokens);
        let named = tokens.filter(|(number, token)| target.names(*number, token));
        named.map(|(number, _)| number).collect()
    }

    /// What is known of each token, by its number.
    pub fn revoked(&self) -> Vec<Revoked> {
        let mut revoked = vec![Revoked::default(); self.tokens.len()];
        let mut sessions: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut subjects: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, token) in (0..).zip(&self.tokens) {
            sessions.entry(token.session).or_default().push(number);
            subjects.entry(token.subject).or_default().push(number);
        }
        for revocation in &self.revocations {
            let one;
            let concerned = match revocation.target {
                Target::Token(token) => {
                    one = vec![token];
                    Some(&one)
                }
                Target::Session(session) => sessions.get(&session),
                Target::Subject(subject) => subjects.get(&subject),
            };
            for number in concerned.into_iter().flatten() {
                let number = *number as usize;
                revoked[number].add(&self.tokens[number], revocation);
            }
        }
        revoked
    }
}

impl Revoked {
    /// Takes in a revocation of the token itself, its session or its subject.
    fn add(&mut self, token: &Token, revocation: &Revocation) {
        let Revocation { begun, acked, .. } = *revocation;
        let (surely, maybe) = match revocation.target {
            Target::Token(_) | Target::Session(_) => (true, true),
            // The cutoff is an instant between both.
            Target::Subject(_) => (
                token.made <= begun,
                acked.is_none_or(|acked| token.made <= acked + APART),
            ),
        };
        if maybe {
            self.begun = earlier(self.begun, begun);
        }
        if surely && let Some(acked) = acked {
            self.acked = earlier(self.acked, acked);
            let own = self.acked_in.entry(revocation.process).or_insert(acked);
            *own = acked.min(*own);
        }
    }
}

fn earlier(known: Option<Instant>, other: Instant) -> Option<Instant> {
    Some(known.map_or(other, |known| known.min(other)))
}

/// How far a server's idea of the wall clock may be ahead of ours. Its scripts never go back behind what they
/// wrote.
const APART: Duration = Duration::from_millis(100);
