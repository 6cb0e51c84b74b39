//! The rights that the documents name: enough for everything, and none too many.

use std::time::Duration;

use futures::future::join_all;
use jwt_revoke_core::{
    revocation::{Cutoff, Dimension, Horizons, Placement, SHARDS},
    session::{Outcome, SessionCap, WhenFull},
    store::{Lookup, Reach, RedisBuilder, RedisStore, Revocation, Store as _},
};
use jwt_revoke_tests::redis_server::{RedisCluster, RedisServer};

use crate::{
    mirrored, shard, subject, until, until_found,
    user::{ISSUER, User},
};

const PASSWORD: &str = "hunter2";

const DOCUMENTS: &str = include_str!("../../../docs/redis.md");

/// What the documents say: the rule of keys, and the commands.
pub(crate) fn documented() -> (String, Vec<String>) {
    let mut lines = DOCUMENTS.lines();
    let line = lines.find(|line| line.starts_with("ACL SETUSER jr"));
    let words: Vec<_> = line.unwrap().split(' ').map(str::to_owned).collect();
    assert_eq!(words[..5], ["ACL", "SETUSER", "jr", "on", ">PASSWORD"]);
    assert_eq!(words[6], "-@all");
    (words[5].clone(), words[7..].to_vec())
}

/// What else the documents name in the sentence that begins with `what`.
pub(crate) fn documented_for(what: &str) -> Vec<String> {
    let (_, sentence) = DOCUMENTS
        .split_once(&format!("{what} also needs "))
        .unwrap();
    let sentence = sentence.split(['.', ';']).next().unwrap();
    let rights = sentence.split('`').filter(|word| word.starts_with('+'));
    rights
        .flat_map(|words| words.split(' '))
        .map(str::to_owned)
        .collect()
}

/// Makes a user whose keys have its name for a prefix.
fn make_user(server: &RedisServer, name: &str, rights: &[&str]) {
    let (keys, _) = documented();
    let keys = keys.replace("jr", name);
    let password = format!(">{PASSWORD}");
    let mut words = vec!["ACL", "SETUSER", name, "on", &password, &keys, "-@all"];
    words.extend(rights);
    assert_eq!(server.cli(&words), "OK");
}

fn builder(url: &str, name: &str) -> RedisBuilder {
    RedisStore::builder(url)
        .with_prefix(name)
        .with_username(name)
        .with_password(PASSWORD)
        .with_healing(Duration::from_secs(1))
        .with_check_timeout(Duration::from_secs(5))
        .with_write_timeout(Duration::from_secs(5))
        .with_connect_timeout(Duration::from_secs(3))
}

/// Everything that a store does, on servers of which `administered` are all. Panics where something is refused.
async fn everything(settings: RedisBuilder, name: String, administered: Vec<u16>) {
    let cli = |words: &[&str]| {
        let answers = administered
            .iter()
            .map(|port| jwt_revoke_tests::redis_server::cli(*port, words));
        answers.collect::<Vec<_>>().concat()
    };
    let store = settings.clone().connect().await.unwrap();
    let reader = settings.clone().connect().await.unwrap();
    let horizons = Horizons::from_parts(Duration::from_secs(1_200), Duration::from_secs(86_400));
    store.require(horizons).await.unwrap();
    store.ready().await.unwrap();

    // Revocations, checks, and the copy.
    let at = User::strict("alice").shard().number();
    let place = Placement::One(shard(at));
    let jti = Revocation::new(Dimension::Jti, ISSUER, "a", place, Reach::Forever);
    let key = Revocation::new(Dimension::Key, ISSUER, "k", Placement::Wide, Reach::Forever);
    let batch = [jti.clone(), key.clone(), subject("bob", at)];
    store.revoke(&batch).await.unwrap();
    until_found(&reader, at, jti.digest).await;
    until_copied(&reader, at, &key).await;

    // Sessions.
    let alice = User::strict("alice");
    let first = alice.login(&store).await;
    let next = alice.next(&store, &first).await;
    let other = alice.login(&store).await;
    alice.mark(&store).await;
    assert_eq!(alice.list(&store).await.len(), 2);
    let cap = SessionCap {
        limit: 2,
        when_full: WhenFull::EvictOldest,
    };
    let since = store.now(alice.shard()).await.unwrap();
    let third = alice.login_since(&store, since, Some(cap)).await.unwrap();
    assert_eq!(alice.refresh(&store, &next).await, Outcome::Ended);
    assert_eq!(
        alice.end_others(&store, &third.session).await,
        [other.session]
    );
    assert_eq!(alice.end(&store, &third.session).await.len(), 1);
    let stolen = alice.login(&store).await;
    alice.next(&store, &stolen).await;
    assert_eq!(alice.refresh(&store, &stolen).await, Outcome::Reused);
    // Logins that find sessions which have ended, and those that lie under a cutoff.
    let since = store.now(alice.shard()).await.unwrap();
    alice.login_since(&store, since, Some(cap)).await.unwrap();

    // A shard that lost its data is healed, and so is what the log lost.
    let log = cli(&["KEYS", &format!("{name}:*:log")]);
    assert_eq!(log.matches(":log").count(), usize::from(SHARDS));
    let tag = store_tag(at);
    let epoch = format!("{name}:{{{tag}}}:epoch");
    for key in [&epoch, &format!("{name}:{{{tag}}}:deny:{}", jti.digest)] {
        cli(&["DEL", key]);
    }
    until("it is healed", || async {
        let query = [jti.digest];
        let found = store.lookup(&Lookup::new(shard(at), &query)).await;
        found.is_ok_and(|found| found.highest() == Some(Cutoff::Forever))
            && !cli(&["GET", &epoch]).is_empty()
    })
    .await;
    drop((store, reader));
    let again = settings.connect().await.unwrap();
    until_copied(&again, at, &key).await;
}

async fn until_copied(store: &RedisStore, at: u8, revocation: &Revocation) {
    until("it is in the copy", || async {
        mirrored(store, at, revocation.digest).highest() == Some(Cutoff::Forever)
    })
    .await;
}

/// The tag of a shard, as the documents of its keys have it.
fn store_tag(at: u8) -> &'static str {
    const TAGS: [&str; SHARDS as usize] = [
        "04s", "15s", "26s", "37s", "40s", "51s", "62s", "73s", "83r", "92r", "aoo", "b1h", "c00",
        "d7h", "eko", "fy5",
    ];
    TAGS[usize::from(at)]
}

/// What was refused to each user, by the log of the server: the user and the command, or another reason.
fn refused(server: &RedisServer) -> Vec<(String, String)> {
    let log = server.cli(&["ACL", "LOG", "1000"]);
    let lines: Vec<_> = log.lines().collect();
    let mut refused = Vec::new();
    for (index, _) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "reason")
    {
        let entry = &lines[index..];
        let field = |name| {
            let mut pairs = entry.windows(2);
            pairs.find(|pair| pair[0] == name).unwrap()[1].to_lowercase()
        };
        refused.push((field("username"), field("object")));
    }
    refused
}

/// Of the rights `tried`, those without which everything works, and nothing is refused, all the same. With all of
/// them and those of `always` everything must.
async fn needless(
    servers: &[&RedisServer],
    settings: impl Fn(&str) -> RedisBuilder,
    always: &[String],
    tried: &[String],
) -> Vec<String> {
    let less = tried.iter().enumerate();
    let less = less.map(|(index, right)| (format!("less{index}"), Some(right)));
    let mut users: Vec<_> = less.chain([("all".to_owned(), None)]).collect();
    users.sort_by_key(|(_, left_out)| left_out.is_none_or(|right| right != "+eval"));
    let ports: Vec<_> = servers.iter().map(|server| server.port()).collect();
    let mut runs = Vec::new();
    for (name, left_out) in &users {
        let kept = tried.iter().filter(|right| Some(*right) != *left_out);
        let kept: Vec<_> = always.iter().chain(kept).map(String::as_str).collect();
        for server in servers {
            server.cli(&["CONFIG", "SET", "acllog-max-len", "1000"]);
            make_user(server, name, &kept);
        }
        // What is refused ends it, or would have it wait for ever.
        let run = everything(settings(name), name.clone(), ports.clone());
        let run = tokio::spawn(tokio::time::timeout(Duration::from_secs(30), run));
        if left_out.is_some_and(|right| right == "+eval") {
            // A script that others have sent needs not be sent again.
            let _ = run.await;
            runs.push(tokio::spawn(async { Ok(()) }));
        } else {
            runs.push(run);
        }
    }
    let ended = join_all(runs).await;
    let refused: Vec<_> = servers.iter().flat_map(|server| refused(server)).collect();
    let mut needless = Vec::new();
    for ((name, left_out), ended) in users.into_iter().zip(ended) {
        let commands: Vec<_> = refused.iter().filter(|(user, _)| *user == name).collect();
        let works = matches!(ended, Ok(Ok(())));
        println!("without {left_out:?}: works: {works}, refused: {commands:?}");
        match left_out {
            None => assert!(works && commands.is_empty(), "{commands:?}"),
            Some(right) => {
                let command = &right[1..];
                if !commands.iter().any(|(_, object)| object == command) {
                    needless.push(right.clone());
                }
            }
        }
    }
    needless
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_the_documents_name_is_needed_and_together_they_suffice() {
    let server = RedisServer::start();
    let (_, rights) = documented();
    assert!(rights.len() > 20, "{rights:?}");
    let settings = |name: &str| builder(&server.url(), name);
    assert_eq!(needless(&[&server], settings, &[], &rights).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_needs_what_the_documents_name_and_resp3_nothing_more() {
    let (_, rights) = documented();
    let cluster = RedisCluster::start(3);
    let nodes: Vec<_> = cluster.nodes.iter().collect();
    let settings = |name: &str| builder(&cluster.url(), name);
    let more = documented_for("A Cluster");
    assert_eq!(needless(&nodes, settings, &rights, &more).await, [""; 0]);
    let server = RedisServer::start();
    let settings = |name: &str| builder(&server.url(), name).with_resp3();
    let none = needless(&[&server], settings, &rights, &[]).await;
    assert_eq!(none, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copies_follow_over_tls_with_the_rights_that_the_documents_name() {
    let mut server = RedisServer::start_tls();
    let (_, rights) = documented();
    let rights: Vec<_> = rights.iter().map(String::as_str).collect();
    let connect = async |server: &RedisServer| {
        let settings = builder(&server.url(), "jr").with_connect_timeout(Duration::from_secs(20));
        let settings = settings.with_ca_certificates(server.authority().as_bytes());
        settings.connect().await.unwrap()
    };
    make_user(&server, "jr", &rights);
    let (writer, reader) = (connect(&server).await, connect(&server).await);
    let place = Placement::One(shard(3));
    let session = Revocation::new(Dimension::Session, ISSUER, "s", place, Reach::Forever);
    writer.revoke(std::slice::from_ref(&session)).await.unwrap();
    until_copied(&reader, 3, &session).await;
    drop(writer);
    // It comes back empty, and without the user at first.
    server.kill();
    server.run();
    make_user(&server, "jr", &rights);
    until("it is healed", || async {
        !server.cli(&["KEYS", "jr:*:deny:*"]).is_empty()
    })
    .await;
    until("its copy is fresh", || async {
        reader.ready().await.is_ok()
    })
    .await;
    until_copied(&connect(&server).await, 3, &session).await;
}
