//! A fair share of the cache for each account.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many tokens each account has brought of late.
///
/// Whoever holds one account can have as many tokens as it can refresh or log in for, and show each as
/// often as needed to look like one in use. So of those that an account brings, only the first few in
/// each round are taken in; a round is as many tokens as fill the cache.
pub(super) struct Shares {
    /// By hash. Accounts that collide share; that costs them time, and only while one of them floods.
    brought: Box<[AtomicU32]>,
    total: AtomicU64,
    round: u64,
    most: u32,
}

impl Shares {
    /// For a cache that holds about so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        let most = u32::try_from(tokens / PARTS).unwrap_or(u32::MAX);
        Self {
            brought: std::iter::repeat_with(AtomicU32::default)
                .take(ACCOUNTS)
                .collect(),
            total: AtomicU64::new(0),
            round: (tokens as u64).max(1),
            most: most.max(FEWEST),
        }
    }

    /// Whether one more token of the account with this hash may be taken in.
    pub(super) fn admit(&self, account: u64) -> bool {
        if self.total.fetch_add(1, Ordering::Relaxed) % self.round == self.round - 1 {
            // One that is counted meanwhile may count for either round.
            for account in &self.brought {
                account.store(0, Ordering::Relaxed);
            }
        }
        let brought = &self.brought[account as usize % ACCOUNTS];
        brought.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

const ACCOUNTS: usize = 4096;

/// No account takes more than this part of what a round takes in.
const PARTS: usize = 64;

/// And each may have this many, however small the cache is.
const FEWEST: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_an_account_gets_its_share_of_each_round_and_leaves_the_rest_to_others() {
        let shares = Shares::new(6400);
        for _ in 0..3 {
            let admitted = (0..6000).filter(|_| shares.admit(7)).count();
            assert_eq!(admitted, 100);
            let others = (0..400).filter(|n| shares.admit(1000 + n)).count();
            // The last one begins the next round.
            assert_eq!(others, 400);
        }
    }
}
