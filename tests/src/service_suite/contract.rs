//! Routes and settings.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Program,
    process::{ALICE, BOB},
};
use crate::raw_http::{RawRequest, RawResponse};

pub async fn the_first_line_says_where_it_listens(program: &Program) {
    // That the first line is of this form, `start` has looked at.
    let service = program.start(&[]);
    assert_ne!(service.address().port(), 0);
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.get("/readyz").await.status, 200);
    let public = service.get("/public").await;
    assert_eq!(public.status, 200);
    assert!(public.json().is_object());
    // And then what to type.
    let me = format!("AT=http://{}", service.address());
    while !service.line().unwrap().contains(&me) {}
}

pub async fn without_settings_it_keeps_its_data_beside_it(program: &Program) {
    let _service = program.start(&[]);
    let data = program.folder().join("jwt-revoke-data");
    assert!(data.join("revocations.redb").is_file());
    assert!(data.join("key").is_file());
}

pub async fn a_login_answers_a_bearer_token(program: &Program) {
    let service = program.start(&[]);
    let login = service.login(ALICE).await;
    assert_eq!(login.status, 200);
    assert_eq!(login.header("cache-control"), Some("no-store"));
    let body = login.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);

    let me = service.me(body["access_token"].as_str().unwrap()).await;
    assert_eq!(me.status, 200);
    let me = me.json();
    let members: Vec<_> = me.as_object().unwrap().keys().collect();
    assert_eq!(members, ["exp", "jti", "sid", "sub"]);
    assert_eq!(me["sub"], "alice");
    assert!(me["exp"].is_u64());
    // The scheme has no case (RFC 9110 §11.1).
    let token = body["access_token"].as_str().unwrap();
    let request = RawRequest::get("/me").header("authorization", format!("bEARER {token}"));
    assert_eq!(service.send(request).await.status, 200);
}

pub async fn a_changed_password_keeps_this_session_only(program: &Program) {
    let service = program.start(&[]);
    let token = async |login: RawResponse| {
        assert_eq!(login.status, 200, "{login:?}");
        login.json()["access_token"].as_str().unwrap().to_owned()
    };
    let phone = token(service.login(ALICE).await).await;
    let laptop = token(service.login(ALICE).await).await;
    let change = async |current: &str| {
        let body = json!({ "current_password": current, "new_password": "looking-glass" });
        let request = RawRequest::post_with("/auth/password", "application/json", body.to_string());
        service.send(request.bearer(&laptop)).await.status
    };
    assert_eq!(change("guess").await, 403);
    assert_eq!(service.me(&phone).await.status, 200);
    assert_eq!(change(ALICE.1).await, 204);
    assert_eq!(service.me(&phone).await.status, 401);
    assert_eq!(service.me(&laptop).await.status, 200);
    assert_eq!(service.login(ALICE).await.status, 401);
    token(service.login((ALICE.0, "looking-glass")).await).await;
}

pub async fn every_algorithm_signs_and_verifies(program: &Program) {
    for algorithm in ["EdDSA", "ES256", "RS256", "HS256"] {
        let settings = [
            ("JWT_REVOKE_ALG", algorithm),
            ("JWT_REVOKE_KEY", algorithm),
            ("JWT_REVOKE_STORE", "memory:"),
        ];
        let service = program.start(&settings);
        let token = service.token(ALICE).await;
        assert_eq!(header(&token)["alg"], algorithm);
        assert_eq!(header(&token)["typ"], "at+jwt");
        assert_eq!(service.decision(&token).await, 200, "{algorithm}");
        service.log_out(&token).await;
        assert_eq!(service.decision(&token).await, 401, "{algorithm}");
        let kept = service.token(ALICE).await;
        drop(service);
        // The key is in its file: tokens outlive a restart.
        let service = program.start(&settings);
        assert_eq!(service.decision(&kept).await, 200, "{algorithm}");
    }
}

pub async fn the_settings_of_tokens_are_obeyed(program: &Program) {
    let service = program.start(&[
        ("JWT_REVOKE_ACCESS_TTL", "2"),
        ("JWT_REVOKE_CONSISTENCY", "strict"),
        ("JWT_REVOKE_OUTAGE", "deny"),
        ("JWT_REVOKE_LEEWAY", "0"),
    ]);
    let login = service.login(ALICE).await.json();
    assert_eq!(login["expires_in"], 2);
    let token = login["access_token"].as_str().unwrap();
    assert_eq!(
        part(token, 1)["exp"],
        part(token, 1)["iat"].as_u64().unwrap() + 2
    );
    service.until(token, 401, &[503]).await;
}

pub async fn a_request_without_a_good_token_is_401_with_a_challenge(program: &Program) {
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    for path in ["/me", "/auth/logout"] {
        let method = if path == "/me" { "GET" } else { "POST" };
        let bare = service.send(RawRequest::new(method, path)).await;
        assert_challenge(&bare, None);
        let (signed, _) = token.rsplit_once('.').unwrap();
        for wrong in ["a.b.c".to_owned(), format!("{signed}.{}", "A".repeat(86))] {
            let request = RawRequest::new(method, path).bearer(&wrong);
            assert_challenge(&service.send(request).await, Some("invalid_token"));
        }
    }
    // Nobody was logged out by it.
    assert_eq!(service.decision(&token).await, 200);
}

pub async fn a_logout_is_in_force_at_once(program: &Program) {
    let service = program.start(&[]);
    for _ in 0..20 {
        let token = service.token(BOB).await;
        assert_eq!(service.decision(&token).await, 200);
        let logout = service.logout(&token).await;
        assert_eq!((logout.status, logout.body.as_str()), (204, ""));
        assert_challenge(&service.me(&token).await, Some("invalid_token"));
        // Once more does no harm: a logout must not fail for being late.
        assert_eq!(service.logout(&token).await.status, 204);
    }
}

pub async fn a_logout_ends_one_session(program: &Program) {
    let service = program.start(&[]);
    let [phone, laptop] = [service.token(ALICE).await, service.token(ALICE).await];
    let bob = service.token(BOB).await;
    service.log_out(&phone).await;
    assert_eq!(service.decision(&phone).await, 401);
    assert_eq!(service.decision(&laptop).await, 200);
    assert_eq!(service.decision(&bob).await, 200);
}

pub async fn a_wrong_password_is_401_and_says_no_more(program: &Program) {
    let service = program.start(&[]);
    program.keep_secret("not-my-password");
    let wrong = service.login(("alice", "not-my-password")).await;
    let unknown = service.login(("mallory", "not-my-password")).await;
    for response in [&wrong, &unknown] {
        assert_eq!(response.status, 401, "{response:?}");
        assert_eq!(response.json()["access_token"], Value::Null);
    }
    // Whether there is such a user stays unsaid.
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(service.login(("alice", BOB.1)).await.status, 401);
    assert_eq!(service.login(("alice", "")).await.status, 401);
}

pub async fn t9_a_malformed_login_is_4xx_and_harms_nobody(program: &Program) {
    let service = program.start(&[]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let big = json!({"username": "alice", "password": "x".repeat(3 << 20)}).to_string();
    let bodies: [&[u8]; 14] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\"alice\"",
        br#"{"username":"alice"}"#,
        br#"{"username":"alice","password":null}"#,
        br#"{"username":1,"password":2}"#,
        br#"{"username":["alice"],"password":"wonderland"}"#,
        br#"{"username":"alice","username":"bob","password":"we-can-fix-it"}"#,
        b"{\"username\":\"\xff\",\"password\":\"\xff\"}",
        deep.as_bytes(),
        big.as_bytes(),
    ];
    for body in bodies {
        let response = service.post_login(body).await;
        let start = String::from_utf8_lossy(&body[..body.len().min(80)]);
        // Far beyond what either framework reads.
        let wanted = if body.len() > 1 << 20 { 413 } else { 400 };
        assert_eq!(response.status, wanted, "{start}: {response:?}");
        assert!(!response.body.contains("access_token"), "{response:?}");
        assert_malformed(&response);
    }
    let form = RawRequest::new("POST", "/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("username=alice&password=wonderland");
    let response = service.send(form).await;
    assert_eq!(response.status, 415);
    assert_malformed(&response);
    assert_eq!(service.login(ALICE).await.status, 200);
    assert!(!service.log().contains("panicked"));
}

pub async fn unknown_paths_are_404_and_other_methods_405(program: &Program) {
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    for path in ["/", "/unknown", "/auth", "/auth/unknown", "/me/too"] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
        let request = RawRequest::get(path).bearer(&token);
        assert_eq!(service.send(request).await.status, 404, "{path}");
    }
    assert_eq!(service.get("/login").await.status, 405);
    assert_eq!(service.get("/auth/logout").await.status, 405);
}

/// An error as all routes say it, which quotes nothing of the request.
#[track_caller]
fn assert_malformed(response: &RawResponse) {
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json()["error"], "invalid_request", "{response:?}");
    for quoted in [ALICE.0, ALICE.1, BOB.1] {
        assert!(!response.body.contains(quoted), "{response:?}");
    }
}

/// 401 with a challenge (RFC 6750 §3); without a token it has no error code.
#[track_caller]
fn assert_challenge(response: &RawResponse, code: Option<&str>) {
    assert_eq!(response.status, 401, "{response:?}");
    let challenge = response.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    match code {
        Some(code) => assert!(
            challenge.contains(&format!("error=\"{code}\"")),
            "{challenge}"
        ),
        None => assert!(!challenge.contains("error"), "{challenge}"),
    }
    assert!(response.json()["error"].is_string(), "{response:?}");
}

fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
