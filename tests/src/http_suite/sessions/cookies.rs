//! Tokens in cookies: what a browser is told, and which requests of a browser count.

use std::time::Duration;

use serde_json::json;

use super::{JSON, SessionServer, Stand, Tokens, assert_later, assert_refused};
use crate::raw_http::{RawRequest, RawResponse};

const ACCESS: &str = "__Host-access";
const REFRESH: &str = "__Secure-refresh";

/// What a browser remembers.
#[derive(Clone)]
pub(super) struct Jar(Tokens);

impl Jar {
    /// The cookies that a response sets, which must have all of their attributes.
    #[track_caller]
    fn of(response: &RawResponse) -> Self {
        assert_eq!(response.status, 200, "{response:?}");
        let [access, refresh] = response.headers("set-cookie")[..] else {
            panic!("not two cookies: {response:?}");
        };
        let value = |cookie: &str, name: &str, attributes: &str| {
            let value = cookie
                .strip_prefix(name)
                .unwrap()
                .strip_prefix('=')
                .unwrap();
            let (value, rest) = value.split_once("; ").unwrap();
            let (path, rest) = rest.split_once("; Max-Age=").unwrap();
            let (age, rest) = rest.split_once("; ").unwrap();
            assert!(age.parse::<u64>().unwrap() > 0);
            assert_eq!(format!("{path}; {rest}"), attributes);
            value.to_owned()
        };
        let access = value(access, ACCESS, "Path=/; HttpOnly; Secure; SameSite=Lax");
        let attributes = "Path=/cookies/auth; HttpOnly; Secure; SameSite=Strict";
        let refresh = value(refresh, REFRESH, attributes);
        // Nothing for scripts to read.
        let body = response.json();
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["expires_in"]);
        Self(Tokens { access, refresh })
    }

    pub(super) fn header(&self) -> String {
        let Tokens { access, refresh } = &self.0;
        format!("theme=dark; {ACCESS}={access}; {REFRESH}={refresh}")
    }

    /// As a browser of today sends it, from a page of this origin.
    fn on(&self, request: RawRequest) -> RawRequest {
        let request = request.header("cookie", self.header());
        request.header("sec-fetch-site", "same-origin")
    }
}

pub(super) async fn login(server: &SessionServer, user: &str) -> Jar {
    let body = json!({ "username": user }).to_string();
    let request = RawRequest::post_with("/cookies/login", JSON, body);
    let request = request.header("sec-fetch-site", "same-origin");
    Jar::of(&server.send(request).await)
}

async fn post(server: &SessionServer, jar: &Jar, path: &str) -> RawResponse {
    let request = RawRequest::post(&format!("/cookies/auth/{path}"));
    server.send(jar.on(request)).await
}

#[track_caller]
fn assert_cleared(response: &RawResponse) {
    assert_eq!(
        response.headers("set-cookie"),
        [
            "__Host-access=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
            "__Secure-refresh=; Path=/cookies/auth; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
        ]
    );
}

pub async fn cookies_are_out_of_reach_of_scripts_and_other_sites(stand: &Stand) {
    let server = stand.server().await;
    let jar = login(&server, "alice").await; // Looks at every attribute.
    let me = RawRequest::get("/cookies/me");
    assert_eq!(server.send(jar.on(me)).await.body, "alice");
    // The refresh token opens nothing where the access token belongs.
    let swapped = format!("{ACCESS}={}", jar.0.refresh);
    let me = RawRequest::get("/cookies/me").header("cookie", swapped);
    assert_eq!(server.send(me).await.status, 401);
    // Cookies count only where they were asked for.
    let me = RawRequest::get("/me").header("cookie", jar.header());
    assert_eq!(server.send(me).await.status, 401);
}

pub async fn cookies_carry_a_whole_life_of_a_session(stand: &Stand) {
    let server = stand.server().await;
    let first = login(&server, "alice").await;
    let second = Jar::of(&post(&server, &first, "refresh").await);
    assert_eq!(second.0.generation(), 2);
    let list = RawRequest::get("/cookies/auth/sessions");
    let listed = server.send(second.on(list)).await.json();
    assert_eq!(listed["sessions"][0]["id"], second.0.sid());
    let out = post(&server, &second, "logout").await;
    assert_eq!(out.status, 204);
    assert_cleared(&out);
    for jar in [&first, &second] {
        server.assert_dead(&jar.0).await;
    }
    // The access cookie is gone after its lifetime; the other still knows the session.
    let third = login(&server, "alice").await;
    let only = format!("{REFRESH}={}", third.0.refresh);
    let out = RawRequest::post("/cookies/auth/logout").header("cookie", only);
    let out = server
        .send(out.header("sec-fetch-site", "same-origin"))
        .await;
    assert_eq!(out.status, 204);
    assert_cleared(&out);
    server.assert_dead(&third.0).await;
    let fourth = login(&server, "alice").await;
    let out = post(&server, &fourth, "logout-all").await;
    assert_eq!(out.status, 204);
    assert_cleared(&out);
    server.assert_dead(&fourth.0).await;
}

pub async fn only_logout_clears_cookies(stand: &Stand) {
    let server = stand.server().await;
    let first = login(&server, "alice").await;
    let second = Jar::of(&post(&server, &first, "refresh").await);
    let third = Jar::of(&post(&server, &second, "refresh").await);
    // A slow tab lost the race; the winner's cookies stay.
    assert_refused(&post(&server, &first, "refresh").await);
    server.observer.refuse_writes(true);
    assert_later(&post(&server, &third, "refresh").await);
    // Not even logout, while the session may live.
    assert_later(&post(&server, &third, "logout").await);
    server.observer.refuse_writes(false);
    let third = Jar::of(&post(&server, &third, "refresh").await);
    // Another device ends this session: the browser finds out, and nothing is cleared.
    server.sessions.revoke_all("alice").await.unwrap();
    assert_refused(&post(&server, &third, "refresh").await);
    let nobody = RawRequest::post("/cookies/auth/refresh");
    assert_refused(&server.send(nobody).await);
    // Cookies that open nothing are what logout is for.
    let out = post(&server, &third, "logout").await;
    assert_eq!(out.status, 204);
    assert_cleared(&out);
    let forged = Jar(Tokens {
        access: "a.b.c".to_owned(),
        refresh: "a.b.c".to_owned(),
    });
    let out = post(&server, &forged, "logout").await;
    assert_eq!(out.status, 401);
    assert_cleared(&out);
}

pub async fn requests_of_other_origins_change_nothing(stand: &Stand) {
    let server = stand.server_with(|s| s.with_grace(Duration::ZERO)).await;
    let jar = login(&server, "alice").await;
    let sid = jar.0.sid();
    let evil: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://localhost"),
        ],
        &[("sec-fetch-site", "cross-site"), ("x-requested-with", "x")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[
            ("origin", "https://evil.example"),
            ("x-requested-with", "x"),
        ],
        &[
            ("origin", "http://localhost"),
            ("origin", "https://evil.example"),
        ],
        &[], // A form in an old browser.
    ];
    let paths = [
        ("POST", "refresh".to_owned()),
        ("POST", "logout".to_owned()),
        ("POST", "logout-all".to_owned()),
        ("POST", "logout-others".to_owned()),
        ("POST", "password".to_owned()),
        ("DELETE", format!("sessions/{sid}")),
    ];
    for headers in evil {
        for (method, path) in &paths {
            let request = RawRequest::new(method, &format!("/cookies/auth/{path}"));
            let request = request.header("cookie", jar.header());
            let request = headers.iter().fold(request, |request, (name, value)| {
                request.header(name, value)
            });
            let response = server.send(request).await;
            assert_eq!(response.status, 403, "{path} {headers:?}");
            assert_eq!(response.json()["error"], "access_denied");
            assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
        }
    }

    let mut jar = jar;
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://localhost")],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://app.example.com"),
        ],
        &[("x-requested-with", "XMLHttpRequest")],
    ] {
        let request = RawRequest::post("/cookies/auth/refresh").header("cookie", jar.header());
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        jar = Jar::of(&server.send(request).await);
    }
    assert_eq!(jar.0.generation(), 6, "something had changed");
}

/// What pages of other origins, and of sibling hosts, have a browser send.
const FOREIGN: &[&[(&str, &str)]] = &[
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("origin", "https://evil.example")],
    &[("origin", "https://blog.localhost")],
    &[("origin", "null")],
    &[],
];

/// What pages of ours and of a trusted origin have it send.
const OURS: &[&[(&str, &str)]] = &[
    &[("sec-fetch-site", "same-origin")],
    &[("origin", "http://localhost")],
    &[("origin", "https://localhost")],
    &[
        ("sec-fetch-site", "same-site"),
        ("origin", "https://app.example.com"),
    ],
    &[("x-requested-with", "XMLHttpRequest")],
];

fn with(request: RawRequest, headers: &[(&str, &str)]) -> RawRequest {
    let add = |request: RawRequest, (name, value): &(&str, &str)| request.header(name, value);
    headers.iter().fold(request, add)
}

pub async fn s52_the_authority_of_the_target_counts_where_there_is_no_host(stand: &Stand) {
    let server = stand.server().await;
    let jar = login(&server, "alice").await;
    // As HTTP/2 has it, and a target in absolute form (RFC 9112 §3.2.2): the authority is the
    // target's, and `Host`, which such a request need not have or mean, does not count.
    let path = "http://auth.example.com/cookies/auth/logout-others";
    for (origin, status) in [
        ("https://auth.example.com", 204),
        ("http://localhost", 403),
        ("https://evil.example", 403),
    ] {
        let request = RawRequest::post(path).header("cookie", jar.header());
        let response = server.send(request.header("origin", origin)).await;
        assert_eq!(response.status, status, "{origin}: {response:?}");
    }
}

pub async fn s53_cookies_change_no_state_for_pages_of_other_origins(stand: &Stand) {
    let server = stand.server().await;
    let jar = login(&server, "alice").await;
    let post = || RawRequest::post("/cookies/me").header("cookie", jar.header());
    for headers in FOREIGN {
        let response = server.send(with(post(), headers)).await;
        assert_eq!(response.status, 403, "{headers:?}: {response:?}");
        assert_eq!(response.json()["error"], "access_denied");
        assert_eq!(response.header("www-authenticate"), None);
        // Pages may ask: what they are answered, CORS keeps from them.
        let get = RawRequest::get("/cookies/me").header("cookie", jar.header());
        assert_eq!(server.send(with(get, headers)).await.status, 200);
        // Nor can a page add the token to a header.
        let own = with(post(), headers).bearer(&jar.0.access);
        assert_eq!(server.send(own).await.status, 200, "{headers:?}");
    }
    for headers in OURS {
        let response = server.send(with(post(), headers)).await;
        assert_eq!(response.status, 200, "{headers:?}: {response:?}");
    }
}

pub async fn s54_no_page_of_another_origin_opens_a_socket_by_cookie(stand: &Stand) {
    let server = stand.server().await;
    let jar = login(&server, "alice").await;
    let open = || {
        let request = RawRequest::get("/cookies/me").header("cookie", jar.header());
        with(
            request,
            &[
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ],
        )
    };
    for headers in FOREIGN {
        let response = server.send(with(open(), headers)).await;
        assert_eq!(response.status, 403, "{headers:?}: {response:?}");
        // A token of its own is no borrowed one.
        let own = with(open(), headers).bearer(&jar.0.access);
        assert_eq!(server.send(own).await.status, 200, "{headers:?}");
    }
    for headers in OURS {
        let response = server.send(with(open(), headers)).await;
        assert_eq!(response.status, 200, "{headers:?}: {response:?}");
    }
}

pub async fn s55_no_page_of_another_origin_logs_its_visitors_in(stand: &Stand) {
    let server = stand.server().await;
    let body = json!({ "username": "mallory" }).to_string();
    for headers in FOREIGN {
        let request = RawRequest::post_with("/cookies/login", JSON, &*body);
        let response = server.send(with(request, headers)).await;
        assert_eq!(response.status, 403, "{headers:?}: {response:?}");
        assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
        // Where tokens are in bodies, no browser keeps them.
        let request = RawRequest::post_with("/login", JSON, &*body);
        let response = server.send(with(request, headers)).await;
        assert_eq!(response.status, 200, "{headers:?}: {response:?}");
    }
    for headers in OURS {
        let request = RawRequest::post_with("/cookies/login", JSON, &*body);
        Jar::of(&server.send(with(request, headers)).await);
    }
}

pub async fn s56_a_client_that_is_no_browser_is_told_what_to_send(stand: &Stand) {
    let server = stand.server().await;
    let jar = login(&server, "alice").await;
    for path in [
        "/cookies/auth/refresh",
        "/cookies/auth/logout",
        "/cookies/me",
    ] {
        let request = RawRequest::post(path).header("cookie", jar.header());
        let response = server.send(request).await;
        assert_eq!(response.status, 403, "{path}");
        assert!(response.body.contains("X-Requested-With"), "{response:?}");
        let request = RawRequest::post(path).header("cookie", jar.header());
        let request = request.header("origin", "https://evil.example");
        let response = server.send(request).await;
        assert!(response.body.contains("another origin"), "{response:?}");
    }
}

pub async fn planted_cookies_are_refused(stand: &Stand) {
    let server = stand.server().await;
    let (alice, mallory) = (
        login(&server, "alice").await,
        login(&server, "mallory").await,
    );
    let planted = format!("{REFRESH}={}; {}", mallory.0.refresh, alice.header());
    for path in ["refresh", "logout"] {
        let request = RawRequest::post(&format!("/cookies/auth/{path}"));
        let request = request.header("cookie", &planted);
        let request = request.header("sec-fetch-site", "same-origin");
        assert_eq!(server.send(request).await.status, 400, "{path}");
    }
    server.assert_alive(&alice.0).await;
    server.assert_alive(&mallory.0).await;
}

pub async fn apps_beside_browsers_get_tokens_in_bodies(stand: &Stand) {
    let server = stand.server().await;
    let held = server.login("alice").await;
    let body = json!({ "refresh_token": held.refresh }).to_string();
    // Without cookies there is nothing that another page could borrow.
    let request = RawRequest::post_with("/cookies/auth/refresh", JSON, body);
    let response = server.send(request).await;
    assert_eq!(response.headers("set-cookie"), Vec::<&str>::new());
    let held = Tokens::of(&response);
    let out = RawRequest::post("/cookies/auth/logout").bearer(&held.access);
    let out = server.send(out).await;
    assert_eq!(out.status, 204);
    assert_eq!(out.headers("set-cookie"), Vec::<&str>::new());
    server.assert_dead(&held).await;
}
