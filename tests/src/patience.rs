//! Waiting for what other processes do.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine, short of for ever.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is the one that is waited for.
///
/// # Panics
///
/// When it does not come.
pub async fn until<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
