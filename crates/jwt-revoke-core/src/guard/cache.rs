//! Tokens that were verified before.

use std::{
    hash::{BuildHasher as _, Hash, Hasher},
    sync::Arc,
};

use foldhash::quality::RandomState;
use quick_cache::{
    Equivalent, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::{access::Token, counter::Counter, share::Shares};
use crate::defaults;

/// The tokens of one guard that its verifier has accepted, by their whole text.
///
/// A hit says that exactly this text was verified by exactly this verifier. Whatever may change since
/// then (keys, dates, revocations) is for the caller to ask, at each hit.
///
/// Bounded by bytes. Once it is full, a token that is new waits in a small part of it, and passes into
/// the rest only if it comes again before others have pushed it out: a flood of tokens that come once
/// takes nothing from those that come often. Of the tokens of one account, of which an attacker can
/// show each as often as it likes, few are taken in.
pub(super) struct TokenCache {
    /// `None`: switched off.
    tokens: Option<Tokens>,
    /// Secret, so that nobody can choose texts that collide.
    hasher: RandomState,
    shares: Shares,
    hits: Counter,
    misses: Counter,
}

type Tokens = Cache<Text, Entry, Weight, RandomState, DefaultLifecycle<Text, Entry>>;

impl TokenCache {
    /// A cache that never takes more than about `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(bytes / USUAL_ENTRY)
            // The rest is for what the cache remembers of texts that it has dropped.
            .weight_capacity((bytes - bytes / 16) as u64)
            .build();
        let tokens = |options| {
            let hasher = RandomState::default();
            Cache::with_options(options, Weight, hasher, DefaultLifecycle::default())
        };
        Self {
            tokens: options.ok().filter(|_| bytes > 0).map(tokens),
            hasher: RandomState::default(),
            shares: Shares::new(bytes / USUAL_ENTRY),
            hits: Counter::new(),
            misses: Counter::new(),
        }
    }

    /// What is asked for; `None` where the answer could only be no.
    pub(super) fn question<'a>(&self, text: &'a str) -> Option<Question<'a>> {
        let fits = self.tokens.is_some() && text.len() <= defaults::MAX_CACHED_TOKEN_BYTES;
        fits.then(|| Question {
            hash: self.hasher.hash_one(text),
            text,
        })
    }

    /// The token, if it is here and `holds`. Allocates nothing.
    pub(super) fn get(
        &self,
        question: Question<'_>,
        holds: impl FnOnce(&Token) -> bool,
    ) -> Option<Arc<Token>> {
        let tokens = self.tokens.as_ref()?;
        let found = tokens.get(&question);
        if let Some(entry) = found {
            if holds(&entry.token) {
                self.hits.increment();
                return Some(entry.token);
            }
            // Only this one: a better one may stand there by now.
            tokens.remove_if(&question, |now| Arc::ptr_eq(&now.token, &entry.token));
        }
        self.misses.increment();
        None
    }

    /// Takes in a token that was verified in full, if its account has not brought too many.
    pub(super) fn insert(&self, question: Question<'_>, token: &Arc<Token>) {
        let Some(tokens) = &self.tokens else {
            return;
        };
        let registered = token.verified.registered();
        if let Some(subject) = &registered.subject {
            let account = self.hasher.hash_one((&registered.issuer, subject));
            if !self.shares.admit(account) {
                return;
            }
        }
        let text = Text {
            hash: question.hash,
            text: question.text.into(),
        };
        let blocks = token.verified.blocks().map(block).sum::<usize>();
        // The application's claims are parsed later, into a type that nobody knows here.
        let claims = block(2 * token.verified.payload().len() + 256);
        let weight = ENTRY + block(size_of::<Token>()) + block(text.text.len()) + blocks + claims;
        let entry = Entry {
            token: Arc::clone(token),
            weight: u32::try_from(weight).unwrap_or(u32::MAX),
        };
        tokens.insert(text, entry);
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.sum(),
            misses: self.misses.sum(),
            entries: self.tokens.as_ref().map_or(0, Cache::len),
            bytes: self.tokens.as_ref().map_or(0, Cache::weight),
        }
    }
}

/// Figures of the cache of verified tokens, since the guard was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Tokens that were found, and were still in force.
    pub hits: u64,
    /// Tokens that were looked for in vain, most of them new, forged or expired.
    pub misses: u64,
    /// Tokens in the cache.
    pub entries: usize,
    /// What they take, in bytes.
    pub bytes: u64,
}

/// A token's text, beside its hash under the cache's secret: texts are compared only when that is the
/// same, so that how long it takes tells nothing of the texts that are here.
struct Text {
    hash: u64,
    text: Box<str>,
}

/// A [`Text`] to look for.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    hash: u64,
    text: &'a str,
}

impl Equivalent<Text> for Question<'_> {
    fn equivalent(&self, own: &Text) -> bool {
        self.hash == own.hash && *self.text == *own.text
    }
}

impl Hash for Question<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && *self.text == *other.text
    }
}

impl Eq for Text {}

#[derive(Clone)]
struct Entry {
    token: Arc<Token>,
    /// In bytes.
    weight: u32,
}

/// Entries weigh what was reckoned when they came.
#[derive(Clone)]
struct Weight;

impl Weighter<Text, Entry> for Weight {
    fn weight(&self, _: &Text, entry: &Entry) -> u64 {
        entry.weight.into()
    }
}

/// What a block on the heap takes, with what the allocator adds.
fn block(length: usize) -> usize {
    length.next_multiple_of(16) + 16
}

/// What the cache itself adds to an entry, at most: its tables may have just doubled.
const ENTRY: usize = 256;

/// What most entries take, by which the cache reckons how many of those that it dropped to remember.
const USUAL_ENTRY: usize = 2048;
