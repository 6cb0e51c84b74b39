//! Following the log: what fills the copy of the store in this process, and proves how old it is.
//!
//! On a thread of its own, so that a busy application does not make the copy stale, and with
//! connections of its own, because a blocked read blocks its connection. It ends with the store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Weak, atomic::Ordering},
    thread,
    time::Duration,
};

use futures::{FutureExt as _, future::join_all};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::Instrument as _;

use crate::{
    defaults,
    meters::Restart,
    revocation::{SHARDS, Shard},
    store::redis::{
        Inner,
        client::Config,
        log::Cursor,
        mend::Missing,
        source::{End, Source},
    },
};

/// Keeps the follower running until it is dropped.
pub(super) struct FollowerHandle {
    _open: oneshot::Sender<()>,
}

/// Starts following `store`, on a thread of its own.
pub(super) fn start(store: Weak<Inner>, config: Config) -> std::io::Result<FollowerHandle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let weak = Weak::clone(&store);
    let (open, mut closed) = oneshot::channel();
    let follow = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = &mut closed => {}
                () = follow_all(&store, &config) => {}
                () = purge(&store) => {}
            }
        });
    };
    thread::Builder::new()
        .name("jwt-revoke-follow".to_owned())
        .spawn(move || outlive_panics(&weak, follow))?;
    Ok(FollowerHandle { _open: open })
}

/// Follows until the store is gone. Spans, events and counters run code of the application on this thread, so
/// even to tell that following panicked may panic, and must not be its end.
fn outlive_panics(store: &Weak<Inner>, mut follow: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut follow)).is_err() && store.strong_count() > 0 {
        let _ = catch_unwind(AssertUnwindSafe(|| restarted(store, Restart::Panicked)));
        thread::sleep(PAUSE);
    }
}

/// Forgets now and then what has expired.
async fn purge(store: &Weak<Inner>) {
    loop {
        for shard in Shard::all() {
            sleep(defaults::PURGE_INTERVAL / u32::from(SHARDS)).await;
            let Some(inner) = store.upgrade() else {
                return;
            };
            inner.replica.purge(shard);
        }
        if let Some(inner) = store.upgrade() {
            inner.purge_wides();
        }
    }
}

/// Follows all shards: together where one server has them, each by itself in a Cluster.
async fn follow_all(store: &Weak<Inner>, config: &Config) {
    let Some(inner) = store.upgrade() else {
        return;
    };
    let sources: Vec<Vec<Shard>> = if inner.cluster {
        Shard::all().map(|shard| vec![shard]).collect()
    } else {
        vec![Shard::all().collect()]
    };
    drop(inner);
    let sources = sources.into_iter().map(|shards| {
        let count = shards.len();
        let first = shards.first().map(|shard| shard.number());
        let span = tracing::debug_span!("follow", first, shards = count);
        supervise(store, config, shards).instrument(span)
    });
    join_all(sources).await;
}

/// Follows `shards` again and again until the store is gone, whatever happens.
async fn supervise(store: &Weak<Inner>, config: &Config, shards: Vec<Shard>) {
    let mut cursors: Vec<_> = shards.iter().map(|_| Cursor::start()).collect();
    let mut told = String::new();
    let mut pause = PAUSE;
    loop {
        let Some(inner) = store.upgrade() else {
            return;
        };
        if !inner.started.load(Ordering::Acquire) {
            drop(inner);
            sleep(UNTIL_STARTED).await;
            continue;
        }
        let source = Source::new(&inner, config, &shards);
        drop(inner);
        let Ok(mut source) = source else {
            sleep(PAUSE).await;
            continue;
        };
        let begun = Instant::now();
        let following = AssertUnwindSafe(source.follow(store, &mut cursors)).catch_unwind();
        let Ok(ended) = following.await else {
            // Where it stood is not known any more, nor whether the logs still had all that was read.
            cursors = shards.iter().map(|_| Cursor::start()).collect();
            if let Some(inner) = store.upgrade() {
                let shards = shards.iter();
                shards.for_each(|shard| inner.mend(*shard, Missing::Perhaps));
            }
            tracing::error!("the follower of the store's log panicked; it starts anew");
            restarted(store, Restart::Panicked);
            sleep(PAUSE).await;
            continue;
        };
        match ended {
            End::Gone => return,
            End::Failed(failure) => {
                restarted(store, Restart::Failed);
                let reason = format!("{failure:?}");
                // Said once, not with every attempt.
                if reason != told {
                    tracing::debug!(reason, "the store's log cannot be followed just now");
                    told = reason;
                }
            }
        }
        if begun.elapsed() > LONGEST_PAUSE {
            pause = PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn restarted(store: &Weak<Inner>, reason: Restart) {
    if let Some(inner) = store.upgrade() {
        inner.meters.restarted(reason);
    }
}

/// How long until the log is followed again after it could not be.
const PAUSE: Duration = Duration::from_millis(100);

/// The same when it could not be several times in a row.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked whether the store has been reached for the first time.
const UNTIL_STARTED: Duration = Duration::from_millis(10);
