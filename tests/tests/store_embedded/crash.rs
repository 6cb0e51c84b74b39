//! What survives a crash, and what a damaged file is taken for.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use jwt_revoke_core::{
    revocation::Cutoff,
    store::{EmbeddedStore, Lookup, Store as _},
};
use jwt_revoke_tests::store_suite::{jti, shard};

use crate::child::{self, Job, Running};

fn is_revoked(store: &EmbeddedStore, value: &str) -> bool {
    let digests = [jti(value).digest];
    let found = store.lookup_now(&Lookup::new(shard(), &digests)).unwrap();
    found.unwrap().highest() == Some(Cutoff::Forever)
}

fn assert_all_revoked(store: &EmbeddedStore, acknowledged: &HashSet<String>, when: &str) {
    let lost = acknowledged.iter().find(|value| !is_revoked(store, value));
    assert_eq!(lost, None, "{when}, of {}", acknowledged.len());
}

/// Pseudo-random numbers (xorshift); the seed is in every message.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(now.as_nanos() as u64 | 1)
    }

    /// What the next rolls come from.
    pub(crate) fn seed(&self) -> u64 {
        self.0
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

#[test]
fn r9_kill_at_any_moment_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut dice = Dice::new();
    let seed = dice.0;
    let mut acknowledged = HashSet::new();
    for round in 0..40 {
        let mut child = Running::start(child::command(Job::Write, &path, &round.to_string()));
        // From the middle of opening to some hundred writes later; the kill itself falls where it
        // falls, with writes under way.
        let lines = dice.roll(120);
        for _ in 0..lines {
            match child.said() {
                Some((word, value)) if word == "ack" => drop(acknowledged.insert(value)),
                Some((word, _)) if word == "opened" => {}
                other => panic!("round {round} of seed {seed}: {other:?}"),
            }
        }
        child.kill();
        // What it had said before it died, and nobody had read yet.
        while let Some((word, value)) = child.said() {
            if word == "ack" {
                acknowledged.insert(value);
            }
        }
        let store = EmbeddedStore::open(&path).unwrap();
        let when = format!("after round {round} of seed {seed}");
        assert_all_revoked(&store, &acknowledged, &when);
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    // The store and its witness.
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn r9_a_damaged_file_is_an_error_or_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (image, acknowledged) = image_of_a_crash(&path);
    let mut closed = (fs::read(&path).unwrap(), "closed");
    let mut crashed = (image, "crashed");

    let mut dice = Dice::new();
    let seed = dice.0;
    let (mut opened, mut refused) = (0, 0);
    for round in 0..400 {
        let (image, state) = if round % 2 == 0 {
            &mut closed
        } else {
            &mut crashed
        };
        let mut damaged = image.clone();
        let how = damage(&mut damaged, &mut dice);
        fs::write(&path, &damaged).unwrap();
        let when = format!("{how}, {state}, round {round} of seed {seed}");
        match EmbeddedStore::open(&path) {
            Ok(store) => {
                opened += 1;
                assert_all_revoked(&store, &acknowledged, &when);
            }
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert!(text.contains(path.to_str().unwrap()), "{when}: {text}");
                // A second look finds no fresh store in its place.
                assert!(EmbeddedStore::open(&path).is_err(), "{when}: {text}");
            }
        }
    }
    // Some of the damage is to free space and harmless, most is not.
    assert!(refused > 100, "{opened} {refused}, seed {seed}");
}

/// A store's file as a crash leaves it, and what it holds. The file itself is closed.
fn image_of_a_crash(path: &Path) -> (Vec<u8>, HashSet<String>) {
    let store = EmbeddedStore::open(path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut acknowledged = HashSet::new();
    for n in 0..300 {
        let value = n.to_string();
        runtime.block_on(store.revoke(&[jti(&value)])).unwrap();
        acknowledged.insert(value);
    }
    (fs::read(path).unwrap(), acknowledged)
}

fn damage(image: &mut Vec<u8>, dice: &mut Dice) -> String {
    let length = image.len();
    match dice.roll(7) {
        0 => {
            let at = dice.roll(length);
            image.truncate(at);
            format!("cut off at {at}")
        }
        1 => {
            let at = dice.roll(length / 4096) * 4096;
            image.truncate(at);
            format!("cut off at page {at}")
        }
        2 => {
            let at = dice.roll(length);
            image[at..].fill(0);
            format!("zeros from {at}")
        }
        3 => {
            let at = length - dice.roll(length.min(64 * 1024));
            for byte in &mut image[at..] {
                *byte = dice.roll(256) as u8;
            }
            format!("garbage from {at}")
        }
        4 => {
            let at = dice.roll(length / 512) * 512;
            image[at..at + 512].fill(0xA5);
            format!("a lost sector at {at}")
        }
        5 => {
            // The header, save the lowest bit of byte 9, which says which of two whole commits is
            // the last: the database cannot tell when that one bit is wrong. No torn write makes it
            // so, since it is flipped alone, after what it points to is synced.
            let at = dice.roll(320);
            let bit = dice.roll(8);
            let bit = if (at, bit) == (9, 0) { 1 } else { bit };
            image[at] ^= 1 << bit;
            format!("bit {bit} flipped at {at}")
        }
        _ => {
            let at = 4096 + dice.roll(length - 4096);
            image[at] ^= 1 << dice.roll(8);
            format!("a flipped bit at {at}")
        }
    }
}

#[test]
fn r9_a_file_that_may_not_grow_fails_loudly_and_loses_nothing() {
    let mut failed = 0;
    let mut refused = 0;
    // In blocks of 512 or 1024 bytes, as the shell pleases: too small for a store, and growing.
    for blocks in [16, 2048, 4096, 6000, 8192, 10_000, 16_384] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}");
        let mut child = Running::start(child::command_after(&limit, Job::Fill, &path, "x"));
        let mut acknowledged = HashSet::new();
        let mut end = None;
        while let Some((word, value)) = child.said() {
            match word.as_str() {
                "ack" => drop(acknowledged.insert(value)),
                "opened" => {}
                _ => end = Some((word, value)),
            }
        }
        let (word, reason) = end.unwrap();
        assert!(reason.contains(path.to_str().unwrap()), "{reason}");
        if word == "refused" {
            refused += 1;
            assert!(reason.contains("raise the limit"), "{reason}");
            // Nothing half-made is left.
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{reason}");
        } else {
            failed += 1;
            assert!(reason.contains("out of service"), "{reason}");
            let store = EmbeddedStore::open(&path).unwrap();
            assert_all_revoked(&store, &acknowledged, &format!("{blocks} blocks"));
        }
    }
    assert!(failed > 0 && refused > 0, "{failed} {refused}");
}
