//! Tasks in the background that nobody waits for.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::time::sleep;

use crate::store::redis::healing::PAUSE;

/// Runs work to its end, anew a moment after each panic: spans, events and counters run code of the
/// application, which must not end what nothing else begins again. The panic itself is told by the hook of the
/// process.
pub(super) fn spawn_until_done<F>(mut work: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while AssertUnwindSafe(async { work().await })
            .catch_unwind()
            .await
            .is_err()
        {
            sleep(PAUSE).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_begun_anew_until_it_is_done() {
        let (done, is_done) = oneshot::channel();
        let state = Arc::new(Mutex::new((0, Some(done))));
        let seen = Arc::clone(&state);
        spawn_until_done(move || {
            // Before there is a future, and within it.
            seen.lock().unwrap().0 += 1;
            let begun = seen.lock().unwrap().0;
            assert_ne!(begun, 1, "as the test wants");
            let seen = Arc::clone(&seen);
            async move {
                assert_ne!(begun, 2, "as the test wants");
                seen.lock().unwrap().1.take().unwrap().send(()).unwrap();
            }
        });
        let is_done = timeout(Duration::from_secs(60), is_done).await;
        is_done.expect("it is begun anew").unwrap();
        assert_eq!(state.lock().unwrap().0, 3);
    }
}
