//! Logs that have lost entries, in every way that an operator, a tool, or an eviction has.

use jwt_revoke_core::{revocation::Digest, store::Store as _};
use jwt_revoke_tests::{
    meta::{self, Field},
    patience::until,
    redis_server::{Program, RedisServer},
    redis_store::mirrored,
};

use crate::{connect, key, leaked, strictly, subject, until_all_are_mirrored};

/// A way to lose entries: its name, and commands; `LOG` and so on stand for the keys of the shard, `SAVED` for a
/// copy of the log from the middle of the revocations, `FIRST`, `MIDDLE` and `LAST` for ids of entries.
type Loss = (&'static str, &'static [&'static [&'static str]]);

const LOSSES: &[Loss] = &[
    ("the log is deleted", &[&["DEL", "LOG"]]),
    ("the log is emptied", &[&["XTRIM", "LOG", "MAXLEN", "0"]]),
    (
        "the log is cut to its last",
        &[&["XTRIM", "LOG", "MAXLEN", "1"]],
    ),
    (
        "the log is renamed",
        &[&["RENAME", "LOG", "elsewhere{15s}"]],
    ),
    ("the first is deleted", &[&["XDEL", "LOG", "FIRST"]]),
    ("one is deleted", &[&["XDEL", "LOG", "MIDDLE"]]),
    ("the last is deleted", &[&["XDEL", "LOG", "LAST"]]),
    (
        "first and last are deleted",
        &[&["XDEL", "LOG", "FIRST"], &["XDEL", "LOG", "LAST"]],
    ),
    (
        "an older log is restored",
        &[&["DEL", "LOG"], &["RENAME", "SAVED", "LOG"]],
    ),
    (
        "the log is of another type",
        &[&["DEL", "LOG"], &["HSET", "LOG", "a", "b"]],
    ),
    (
        "the log is emptied and its last id set back",
        &[&["XTRIM", "LOG", "MAXLEN", "0"], &["XSETID", "LOG", "1-1"]],
    ),
    (
        "the log is made once more, empty",
        &[
            &["DEL", "LOG"],
            &["XGROUP", "CREATE", "LOG", "g", "$", "MKSTREAM"],
        ],
    ),
    (
        "the streams are deleted",
        &[&["DEL", "LOG"], &["DEL", "LASTING"]],
    ),
    (
        "the lasting stream is deleted, and the log emptied",
        &[&["DEL", "LASTING"], &["XTRIM", "LOG", "MAXLEN", "0"]],
    ),
    ("meta is deleted too", &[&["DEL", "LOG"], &["DEL", "META"]]),
    (
        "the epoch is deleted too",
        &[&["DEL", "LOG"], &["DEL", "EPOCH"]],
    ),
    (
        "all but the entries is deleted",
        &[
            &["DEL", "LOG"],
            &["DEL", "LASTING"],
            &["DEL", "META"],
            &["DEL", "EPOCH"],
        ],
    ),
    (
        "meta is of another type",
        &[
            &["DEL", "LOG"],
            &["DEL", "META"],
            &["HSET", "META", "a", "b"],
        ],
    ),
    (
        "the epoch is of another type",
        &[&["DEL", "LOG"], &["DEL", "EPOCH"], &["RPUSH", "EPOCH", "a"]],
    ),
];

/// A server whose shard has entries, and what they are.
async fn revoked(server: &RedisServer) -> Vec<Digest> {
    let writer = connect(&server.url()).await;
    let mut entries = Vec::new();
    for number in 0..10 {
        let revocation = match number {
            3 => leaked("2026-01"),
            _ => subject(&format!("user-{number}")),
        };
        entries.push(revocation.digest);
        writer.revoke(&[revocation]).await.unwrap();
        if number == 6 {
            server.cli(&["COPY", &key("log"), &key("saved")]);
        }
    }
    entries
}

fn lose(server: &RedisServer, (_, commands): &Loss) {
    let nth = |at: &str| server.cli(&["EVAL", NTH, "1", &key("log"), at]);
    for command in *commands {
        let words: Vec<_> = command
            .iter()
            .map(|word| match *word {
                "LOG" | "LASTING" | "META" | "EPOCH" | "SAVED" => key(&word.to_lowercase()),
                "FIRST" => nth("1"),
                "MIDDLE" => nth("5"),
                "LAST" => nth("-1"),
                word => word.to_owned(),
            })
            .collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let answer = server.cli(&words);
        assert!(!answer.contains("ERR"), "{words:?}: {answer}");
    }
}

const NTH: &str = "
    local entries, at = redis.call('XRANGE', KEYS[1], '-', '+'), tonumber(ARGV[1])
    return entries[at > 0 and at or #entries][1]";

/// A process that starts then refuses all that was revoked, and so does the next.
async fn nothing_is_taken_for_not_revoked(server: &RedisServer, loss: &Loss) {
    let name = loss.0;
    let entries = revoked(server).await;
    lose(server, loss);
    let first = connect(&server.url()).await;
    until_all_are_mirrored(name, &first, &entries).await;
    first.ready().await.unwrap();
    for digest in &entries {
        assert!(strictly(&first, *digest).await.is_some(), "{name}");
    }
    let more = subject("one more");
    first.revoke(std::slice::from_ref(&more)).await.unwrap();
    // Nothing is left to mend for who comes next.
    let second = connect(&server.url()).await;
    let all = [&entries[..], &[more.digest]].concat();
    until_all_are_mirrored(name, &second, &all).await;
    until_all_are_mirrored(name, &first, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_what_a_log_has_lost_no_process_that_starts_takes_for_not_revoked() {
    let server = RedisServer::start();
    for loss in LOSSES {
        server.cli(&["FLUSHALL"]);
        nothing_is_taken_for_not_revoked(&server, loss).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_what_a_log_has_lost_on_other_servers_no_process_takes_for_not_revoked() {
    for program in [Program::Redis8, Program::Valkey] {
        if program.is_skipped() {
            continue;
        }
        let server = RedisServer::start_of(program, &[]);
        for loss in LOSSES {
            server.cli(&["FLUSHALL"]);
            nothing_is_taken_for_not_revoked(&server, loss).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_while_processes_follow_a_log_that_is_lost_none_takes_anything_for_not_revoked() {
    let server = RedisServer::start();
    for loss in LOSSES {
        server.cli(&["FLUSHALL"]);
        let entries = revoked(&server).await;
        let there = connect(&server.url()).await;
        until_all_are_mirrored(loss.0, &there, &entries).await;
        lose(&server, loss);
        // The owner does not know whether it was done, and asks once more.
        let again = subject("user-5");
        until("it is taken", || async {
            there.revoke(std::slice::from_ref(&again)).await.is_ok()
        })
        .await;
        let new = connect(&server.url()).await;
        until_all_are_mirrored(loss.0, &new, &entries).await;
        until_all_are_mirrored(loss.0, &there, &entries).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_without_the_right_to_scan_checks_ask_the_store_and_a_log_is_never_believed() {
    let server = RedisServer::start();
    let entries = revoked(&server).await;
    server.cli(&["DEL", &key("log")]);
    server.cli(&["ACL", "SETUSER", "default", "-scan"]);
    let new = connect(&server.url()).await;
    until("the other shards are fresh", || async {
        mirrored(&new, 2, entries[0]).is_some()
    })
    .await;
    for digest in &entries {
        assert_eq!(mirrored(&new, crate::SHARD, *digest), None);
        assert!(strictly(&new, *digest).await.is_some());
    }
    new.ready().await.unwrap();
    server.cli(&["ACL", "SETUSER", "default", "+scan"]);
    until_all_are_mirrored("it may", &new, &entries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r51_a_log_is_made_once_by_many_and_is_not_made_where_nothing_is_lost() {
    let server = RedisServer::start();
    let entries = revoked(&server).await;
    let length = || -> usize { server.cli(&["XLEN", &key("log")]).parse().unwrap() };
    let (before, scans) = (length(), server.calls("scan"));
    for _ in 0..2 {
        let new = connect(&server.url()).await;
        until_all_are_mirrored("nothing is lost", &new, &entries).await;
    }
    assert_eq!((length(), server.calls("scan")), (before, scans));
    server.cli(&["DEL", &key("log")]);
    let url = server.url();
    let many: Vec<_> = futures::future::join_all((0..4).map(|_| connect(&url))).await;
    for new in &many {
        until_all_are_mirrored("it is lost", new, &entries).await;
    }
    // Two may begin one after the other.
    assert!(length() <= 2 * entries.len(), "{}", length());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_an_older_version_is_believed_as_before() {
    let server = RedisServer::start();
    let entries = revoked(&server).await;
    // As that version wrote it, which knew six numbers.
    let shorten =
        "return redis.call('SET', KEYS[1], string.sub(redis.call('GET', KEYS[1]), 1, 50))";
    server.cli(&["EVAL", shorten, "1", &key("meta")]);
    assert_ne!(meta::read(&server, &key("meta"), Field::Logged), "");
    let scans = server.calls("scan");
    let new = connect(&server.url()).await;
    until_all_are_mirrored("it is whole", &new, &entries).await;
    assert_eq!(server.calls("scan"), scans);
    new.revoke(&[subject("later")]).await.unwrap();
    let newer = connect(&server.url()).await;
    let all = [&entries[..], &[subject("later").digest]].concat();
    until_all_are_mirrored("it went on", &newer, &all).await;
}
