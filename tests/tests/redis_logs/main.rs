//! Logs of a Redis store that have lost entries, and scripts that fail in their middle: what was acknowledged
//! is refused by every process, and what was not can be repeated.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, and fail like them"
)]

mod lost;
mod scripts;
mod settings;

use std::time::Duration;

use jwt_revoke_core::{
    revocation::{Cutoff, Cutoffs, Digest, Dimension, Placement},
    store::{Lookup, Reach, RedisStore, Revocation, Store as _},
};
use jwt_revoke_tests::{
    patience::until,
    redis_store::{ISSUER, connect_for_tokens, mirrored, patient_builder as builder, shard},
};

/// The shard in which all of this happens, and how its keys begin.
const SHARD: u8 = 1;
const PREFIX: &str = "jr:{15s}:";

async fn connect(url: &str) -> RedisStore {
    connect_for_tokens(builder(url)).await
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn hex(digest: &Digest) -> String {
    String::from_utf8(digest.hex().to_vec()).unwrap()
}

fn subject(value: &str) -> Revocation {
    let reach = Reach::Now {
        ahead: Duration::ZERO,
    };
    let place = Placement::One(shard(SHARD));
    Revocation::new(Dimension::Subject, ISSUER, value, place, reach)
}

fn leaked(value: &str) -> Revocation {
    Revocation::new(
        Dimension::Key,
        ISSUER,
        value,
        Placement::Wide,
        Reach::Forever,
    )
}

async fn strictly(store: &RedisStore, digest: Digest) -> Option<Cutoff> {
    let digests = [digest];
    let query = Lookup::new(shard(SHARD), &digests);
    store.lookup(&query).await.unwrap().highest()
}

/// Waits until the copy of a process has all entries. It never says before that one is not there.
async fn until_all_are_mirrored(what: &str, store: &RedisStore, entries: &[Digest]) {
    until(what, || async {
        entries.iter().all(|digest| {
            let found = mirrored(store, SHARD, *digest);
            assert_ne!(found, Some(Cutoffs::NONE), "{what}: taken for not revoked");
            found.is_some()
        })
    })
    .await;
}
