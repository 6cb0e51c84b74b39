//! One request, one answer: status, headers and body, whatever the framework. What differs is in
//! `docs/adapters.md`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

#[path = "http_server/actix.rs"]
mod actix;
#[path = "http_server/axum.rs"]
mod axum;
#[path = "http_server/hyper.rs"]
mod hyper;
#[path = "oauth_server/actix.rs"]
mod oauth_actix;
#[path = "oauth_server/axum.rs"]
mod oauth_axum;
#[path = "session_server/actix.rs"]
mod session_actix;
#[path = "session_server/axum.rs"]
mod session_axum;

use std::{net::SocketAddr, sync::Arc};

use jwt_revoke_core::{
    Guard, Issuer,
    session::{Grant, Sessions},
    store::EmbeddedStore,
    verify::{Algorithm, SigningKey},
};
use jwt_revoke_tests::{
    controlled_store::Mood,
    http_suite::{Fixture, sessions::SessionFixture},
    oauth_suite,
    raw_http::{RawRequest, RawResponse},
};
use tokio::sync::Semaphore;

/// What must agree: all but the date, the order of header fields, and whether `HEAD` of nothing says
/// how long nothing is.
fn essence(response: &RawResponse) -> (u16, Vec<(String, String)>, String) {
    let mut headers = response.headers.clone();
    headers.retain(|(name, value)| match name.as_str() {
        "date" => false,
        "content-length" => (response.status, value.as_str()) != (404, "0"),
        _ => true,
    });
    headers.sort();
    (response.status, headers, response.body.clone())
}

/// Sends each request to each server, and fails where their answers differ.
async fn assert_agreement(servers: &[(&str, SocketAddr)], requests: &[(String, RawRequest)]) {
    let mut differences = Vec::new();
    for (name, request) in requests {
        let mut answers = Vec::new();
        for (server, address) in servers {
            let response = request.clone().send(*address).await;
            answers.push((*server, essence(&response)));
        }
        if answers.iter().any(|(_, answer)| *answer != answers[0].1) {
            differences.push(format!("{name}: {answers:#?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn named(name: &str, request: RawRequest) -> (String, RawRequest) {
    (name.to_owned(), request)
}

/// Paths that a server may take for these: a letter of the last segment encoded, another case, more
/// slashes, dots.
fn other_spellings(paths: &[&str]) -> Vec<(String, RawRequest)> {
    let mut requests = Vec::new();
    for path in paths {
        let (front, last) = path.rsplit_once('/').unwrap();
        let encoded: String = last.bytes().map(|b| format!("%{b:02x}")).collect();
        for spelling in [
            format!("{front}/%{:02x}{}", last.as_bytes()[0], &last[1..]),
            format!("{front}/{encoded}"),
            format!("{front}/{}", last.to_uppercase()),
            format!("{front}//{last}"),
            format!("{front}/./{last}"),
            format!("{front}/x/../{last}"),
            format!("{front}%2f{last}"),
            format!("{path}/"),
            format!("{path};x"),
            format!("{path}%00"),
            format!("{path}?x=%2e"),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let request = RawRequest::new(method, &spelling);
                requests.push((format!("{method} {spelling}"), request));
            }
        }
    }
    requests
}

fn get(path: &str, token: &str) -> (String, RawRequest) {
    named(&format!("GET {path}"), RawRequest::get(path).bearer(token))
}

#[tokio::test]
async fn layers_and_extractors_answer_the_same() {
    let fixture = Fixture::new();
    let servers = [
        axum::serve(fixture.clone()).await,
        actix::serve(fixture.clone()).await,
        hyper::serve(fixture.clone()).await,
    ];
    let names = ["axum", "actix-web", "hyper"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(servers.iter().map(|s| s.address))
        .collect();
    let alice = fixture.login("alice").await;
    let admin = Grant::new().with_scope("admin".parse().unwrap());
    let admin = fixture.login_with("root", &admin).await;
    let paths = [
        "/me",
        "/claims",
        "/optional",
        "/optional/claims",
        "/optional/required",
        "/optional/scoped",
        "/optional/scope-layer",
        "/cookie",
        "/fn",
        "/anywhere",
        "/scope",
        "/scope/layer",
        "/scope/handler",
        "/bare",
        "/bare/optional",
        "/bare/scope",
        "/allow",
        "/allow/outside",
        "/twice",
        "/other",
        "/other/optional",
        "/rendered",
        "/rendered/claims",
        "/rendered/scope",
        "/public",
        "/unknown",
    ];
    let mut requests = Vec::new();
    for path in paths {
        requests.push(get(path, alice.token()));
        requests.push(get(path, admin.token()));
        requests.push(get(path, "a.b.c"));
        requests.push(get(path, "a b"));
        requests.push(named(path, RawRequest::get(path)));
        requests.push(named(
            path,
            RawRequest::get(path).bearer("a.b.c").bearer("a.b.c"),
        ));
        requests.push(named(
            path,
            RawRequest::get(path).header("cookie", "session=\"a b\""),
        ));
        requests.push(named(
            path,
            RawRequest::new("HEAD", path).bearer(alice.token()),
        ));
    }
    assert_agreement(&addresses, &requests).await;
    fixture.store.set(Mood::Fails);
    assert_agreement(&addresses, &requests).await;

    // Of the routes, where there is a router.
    let routes = |address: &[(&'static str, SocketAddr)]| address[..2].to_vec();
    let routes = routes(&addresses);
    let logout = || RawRequest::post("/auth/logout");
    let outage = named("logout in an outage", logout().bearer(alice.token()));
    assert_agreement(&routes, &[outage]).await;
    fixture.store.set(Mood::Answers);
    let requests = [
        named("logout without a token", logout()),
        named("logout with a bad token", logout().bearer("a.b.c")),
        named("GET logout", RawRequest::get("/auth/logout")),
        named("OPTIONS logout", RawRequest::new("OPTIONS", "/auth/logout")),
        named("below", RawRequest::get("/auth/unknown")),
    ];
    assert_agreement(&routes, &requests).await;
    let mut answers = Vec::new();
    for (_, address) in &routes {
        let session = fixture.login("alice").await;
        let response = logout().bearer(session.token()).send(*address).await;
        answers.push(essence(&response));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companion_routes_answer_the_same() {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let issuer = Issuer::new(key, "https://auth.example.com", "api");
    let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
    let fixture = SessionFixture {
        passwords: Arc::default(),
        sessions: Sessions::new(&guard, issuer),
        password_checks: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        begun: Arc::new(Semaphore::new(0)),
    };
    let servers = [
        session_axum::serve(fixture.clone()).await,
        session_actix::serve(fixture.clone()).await,
    ];
    let names = ["axum", "actix-web"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(servers.iter().map(|s| s.address))
        .collect();
    let sessions = &fixture.sessions;
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    let (access, refresh) = (pair.access_token(), pair.refresh_token());

    let json = "application/json";
    let body = |token: &str| format!("{{\"refresh_token\":\"{token}\"}}");
    let mut requests = vec![
        get("/auth/sessions", access),
        get("/auth/sessions", refresh),
        named("list without a token", RawRequest::get("/auth/sessions")),
        named(
            "HEAD of the list",
            RawRequest::new("HEAD", "/auth/sessions").bearer(access),
        ),
        named(
            "end nothing",
            RawRequest::new("DELETE", "/auth/sessions/x").bearer(access),
        ),
        named(
            "end with an odd name",
            RawRequest::new("DELETE", "/auth/sessions/%ff%2e").bearer(access),
        ),
        named(
            "end without a name",
            RawRequest::new("DELETE", "/auth/sessions/").bearer(access),
        ),
    ];
    for path in [
        "/auth/refresh",
        "/auth/logout",
        "/cookies/auth/refresh",
        "/cookies/auth/logout",
    ] {
        for (media_type, body) in [
            (json, String::new()),
            (json, "{}".to_owned()),
            (json, "{".to_owned()),
            (json, body("a.b.c")),
            (json, body(access)),
            ("text/plain", body(refresh)),
            (json, format!("{{\"x\":\"{}\"}}", "x".repeat(100_000))),
        ] {
            let name = format!("POST {path} {media_type} {}", &body[..body.len().min(20)]);
            requests.push((name, RawRequest::post_with(path, media_type, body)));
        }
        for method in ["GET", "PUT", "OPTIONS", "HEAD"] {
            requests.push(named(
                &format!("{method} {path}"),
                RawRequest::new(method, path),
            ));
        }
    }
    for path in [
        "/auth/logout-all",
        "/auth/logout-others",
        "/auth/sessions/x",
        "/auth/sessions",
        "/auth",
    ] {
        for method in ["PATCH", "POST", "OPTIONS", "HEAD"] {
            requests.push(named(
                &format!("{method} {path}"),
                RawRequest::new(method, path),
            ));
        }
    }
    requests.push(named(
        "left out",
        RawRequest::post("/some/auth/logout-all").bearer(access),
    ));
    requests.extend(other_spellings(&[
        "/auth/refresh",
        "/auth/logout",
        "/auth/logout-all",
        "/auth/sessions",
        "/auth/sessions/x",
        "/cookies/auth/refresh",
    ]));
    for path in ["/auth/refresh", "/auth/logout", "/cookies/auth/refresh"] {
        for media_type in [
            "text/json",
            "application/vnd.x+json",
            "application/json;charset=latin1",
            "APPLICATION/JSON",
            "application/json, text/plain",
            "",
        ] {
            let name = format!("POST {path} {media_type}");
            requests.push((name, RawRequest::post_with(path, media_type, "{}")));
        }
        for method in ["PATCH", "DELETE", "TRACE", "CONNECT", "refresh", "post"] {
            let name = format!("{method} {path}");
            requests.push((name, RawRequest::new(method, path)));
        }
        let absolute = format!("http://auth.example.com{path}");
        requests.push(named("absolute form", RawRequest::post(&absolute)));
    }
    let cookies = || {
        let cookie = format!("__Host-access={access}; __Secure-refresh={refresh}");
        RawRequest::post("/cookies/auth/refresh").header("cookie", cookie)
    };
    let foreign = cookies().header("sec-fetch-site", "cross-site");
    requests.push(named("a page of another origin", foreign));
    assert_agreement(&addresses, &requests).await;

    // Each answer once: within the grace the second one gets the same successor.
    let mut shapes = Vec::new();
    for (_, address) in &addresses {
        let ours = cookies().header("sec-fetch-site", "same-origin");
        let mut response = ours.send(*address).await;
        for (name, value) in &mut response.headers {
            if name == "set-cookie" {
                let (name, rest) = value.split_once('=').unwrap();
                // Of a retry within the grace a second less may be left.
                let attributes = rest.split("; ").skip(1);
                let attributes = attributes.map(|word| match word.split_once("Max-Age=") {
                    Some((_, seconds)) => {
                        assert!(seconds.parse::<u32>().unwrap() > 800, "{rest}");
                        "Max-Age=.."
                    }
                    None => word,
                });
                let attributes: Vec<_> = attributes.collect();
                *value = format!("{name}=..; {}", attributes.join("; "));
            }
        }
        shapes.push(essence(&response));
    }
    assert_eq!(shapes[0].0, 200);
    assert_eq!(shapes[0].1, shapes[1].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth_routes_answer_the_same() {
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, second) = (listener(), listener());
    let addresses = [
        ("axum", first.local_addr().unwrap()),
        ("actix-web", second.local_addr().unwrap()),
    ];
    let fixture = oauth_suite::Fixture::new(&first, EmbeddedStore::in_memory());
    let _axum = oauth_axum::serve(first, fixture.clone()).await;
    let _actix = oauth_actix::serve(second, fixture.clone()).await;
    let sessions = &fixture.sessions;
    let attempt = sessions.begin().await.unwrap();
    let pair = sessions
        .login(attempt, "alice", &Grant::new())
        .await
        .unwrap();
    let basic = oauth_suite::basic("api", &fixture.secret);
    let mut requests = vec![
        named(
            "metadata",
            RawRequest::get("/.well-known/oauth-authorization-server"),
        ),
        named("keys", RawRequest::get("/auth/jwks.json")),
        named(
            "HEAD of the keys",
            RawRequest::new("HEAD", "/auth/jwks.json"),
        ),
        named("POST to the keys", RawRequest::post("/auth/jwks.json")),
        named("left out", RawRequest::post("/strict/introspect")),
    ];
    let form = oauth_suite::form_request;
    for path in [
        "/auth/token",
        "/auth/revoke",
        "/auth/introspect",
        "/strict/token",
    ] {
        let unauthenticated = form(path, &[("token", pair.access_token())]);
        requests.push(named(path, unauthenticated.clone()));
        requests.push(named(
            path,
            unauthenticated.header("authorization", "Basic eDp5"),
        ));
        requests.push(named(path, form(path, &[])));
        requests.push(named(path, form(path, &[("token", "a"), ("token", "b")])));
        requests.push(named(path, form(path, &[("token", &"x".repeat(200_000))])));
        requests.push(named(
            path,
            RawRequest::post_with(path, "application/json", "{}"),
        ));
        requests.push(named(path, RawRequest::get(path)));
        let two = form(path, &[("token", "a.b.c")]).header("authorization", &basic);
        requests.push(named(path, two.clone()));
        requests.push(named(path, two.header("authorization", &basic)));
    }
    requests.extend(other_spellings(&[
        "/auth/token",
        "/auth/revoke",
        "/auth/jwks.json",
        "/.well-known/oauth-authorization-server",
    ]));
    for media_type in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-8",
    ] {
        let name = format!("revoke as {media_type}");
        let request = RawRequest::post_with("/auth/revoke", media_type, "token=a.b.c");
        requests.push((name, request));
    }
    let introspect = form("/auth/introspect", &[("token", pair.access_token())]);
    requests.push(named(
        "introspect",
        introspect.header("authorization", &basic),
    ));
    let revoke = form("/auth/revoke", &[("token", pair.refresh_token())]);
    requests.push(named("revoke", revoke));
    assert_agreement(&addresses, &requests).await;
}

/// Requests that are ambiguous before any route sees them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_servers_themselves_refuse_has_one_status() {
    let fixture = Fixture::new();
    let servers = [
        axum::serve(fixture.clone()).await,
        actix::serve(fixture.clone()).await,
    ];
    let post = || RawRequest::new("POST", "/auth/logout");
    for (name, request) in [
        (
            "two lengths",
            post().body("{}").header("content-length", "3"),
        ),
        ("another coding", post().header("transfer-encoding", "gzip")),
        ("a folded field", post().header("x", "a\r\n b")),
        ("a length of letters", post().header("content-length", "x")),
    ] {
        for server in &servers {
            let response = request.clone().send(server.address).await;
            assert_eq!(response.status, 400, "{name}: {response:?}");
        }
    }
}

#[test]
fn s57_routes_have_one_spelling() {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let fixture = Fixture::new();
        let servers = [
            axum::serve(fixture.clone()).await,
            actix::serve(fixture.clone()).await,
        ];
        let session = fixture.login("alice").await;
        for server in &servers {
            for path in [
                "/auth/%6cogout",
                "/auth/logou%74",
                "/auth/%6C%6F%67%6F%75%74",
            ] {
                let request = RawRequest::post(path).bearer(session.token());
                assert_eq!(request.send(server.address).await.status, 404, "{path}");
            }
            let me = RawRequest::get("/me").bearer(session.token());
            assert_eq!(me.send(server.address).await.status, 200);
        }
    });
}
