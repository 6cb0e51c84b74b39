//! The program as a process, called by the generated client.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use example_tonic::proto::{
    AuditRequest, EchoMessage, MeReply, MeRequest, account_client::AccountClient,
};
use futures::{StreamExt as _, stream};
use jwt_revoke_tests::{
    patience::until,
    raw_http::RawRequest,
    redis_server::RedisServer,
    service_suite::{ALICE, BOB, Program, Service},
};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};

// What it has of the program for axum is on the same port.
jwt_revoke_tests::service_suite! { env!("CARGO_BIN_EXE_server") =>
    the_first_line_says_where_it_listens
    a_login_answers_a_bearer_token
    a_logout_is_in_force_at_once
    unknown_paths_are_404_and_other_methods_405
    a_request_at_hand_is_finished_before_it_stops
}

type Client = AccountClient<Channel>;

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_server"))
}

async fn client(service: &Service<'_>) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).unwrap();
    AccountClient::new(endpoint.connect().await.unwrap())
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// What `Me` answers, asked again while it is `UNAVAILABLE`: on a loaded machine a check of Redis may
/// miss its bound, and clients are told to try again.
async fn me(client: &Client, token: &str) -> Result<MeReply, Code> {
    let answer = std::sync::Mutex::new(Err(Code::Unavailable));
    until("an answer", || async {
        let reply = me_once(client, token).await;
        let is_there = reply != Err(Code::Unavailable);
        *answer.lock().unwrap() = reply;
        is_there
    })
    .await;
    answer.into_inner().unwrap()
}

async fn me_once(client: &Client, token: &str) -> Result<MeReply, Code> {
    let reply = client.clone().me(with(token, MeRequest {})).await;
    reply
        .map(Response::into_inner)
        .map_err(|status: Status| status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_logout_over_http_ends_calls_over_grpc() {
    let program = program();
    let service = program.start(&[]);
    let mut client = client(&service).await;
    let [phone, laptop] = [service.token(ALICE).await, service.token(ALICE).await];
    let reply = me(&client, &phone).await.unwrap();
    let http = service.me(&phone).await.json();
    assert_eq!(reply.sub, "alice");
    assert_eq!(http["sub"], reply.sub);
    assert_eq!(http["sid"], reply.sid);
    assert_eq!(http["jti"], reply.jti);
    assert_eq!(http["exp"], reply.exp);

    service.log_out(&phone).await;
    assert_eq!(me(&client, &phone).await, Err(Code::Unauthenticated));
    assert!(me(&client, &laptop).await.is_ok());
    let messages = stream::pending::<EchoMessage>();
    let status = client.echo(with(&phone, messages)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    program.assert_that_no_secret_leaked();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_scopes_are_as_the_proto_file_says() {
    let program = program();
    let service = program.start(&[]);
    let token = service.token(BOB).await;
    let mut client = client(&service).await;
    let texts = ["one", "two", "three"].map(|text| EchoMessage { text: text.into() });
    let messages = stream::iter(texts.clone());
    let echo = client.echo(with(&token, messages)).await.unwrap();
    let echo: Vec<_> = echo.into_inner().map(Result::unwrap).collect().await;
    assert_eq!(echo, texts);
    let status = client.audit(with(&token, AuditRequest {})).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    let status = client.me(Request::new(MeRequest {})).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(me_once(&client, "a b").await, Err(Code::InvalidArgument));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_ends_with_its_lifetime_and_its_successor_goes_on() {
    let program = program();
    let service = program.start(&[("JWT_REVOKE_ACCESS_TTL", "2")]);
    let login = service.login(ALICE).await.json();
    let token = login["access_token"].as_str().unwrap();
    let client = client(&service).await;
    until("it lapses", || async {
        let reply = me_once(&client, token).await;
        assert!(
            matches!(reply, Ok(_) | Err(Code::Unauthenticated)),
            "{reply:?}"
        );
        reply.is_err()
    })
    .await;
    let body = serde_json::json!({ "refresh_token": login["refresh_token"] }).to_string();
    let request =
        RawRequest::new("POST", "/auth/refresh").header("content-type", "application/json");
    let refreshed = service.send(request.body(body)).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let refreshed = refreshed.json();
    let token = refreshed["access_token"].as_str().unwrap();
    assert_eq!(me(&client, token).await.unwrap().sub, "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_a_killed_redis_is_unavailable_until_it_is_back_and_the_logged_out_stay_out() {
    let program = program();
    let mut redis = RedisServer::start();
    let service = program.start(&[("JWT_REVOKE_STORE", &*redis.url())]);
    let client = client(&service).await;
    let (kept, out) = (service.token(BOB).await, service.token(ALICE).await);
    service.log_out(&out).await;
    assert!(me(&client, &kept).await.is_ok());
    assert_eq!(me(&client, &out).await, Err(Code::Unauthenticated));

    redis.kill();
    // Until its copy is too old to judge by.
    until("it is unavailable", || async {
        let reply = me_once(&client, &kept).await;
        assert!(matches!(reply, Ok(_) | Err(Code::Unavailable)), "{reply:?}");
        reply.is_err()
    })
    .await;
    let status = client.clone().me(with(&kept, MeRequest {})).await;
    let pushback = status
        .unwrap_err()
        .metadata()
        .get("grpc-retry-pushback-ms")
        .cloned();
    assert_eq!(pushback.unwrap(), "1000");
    // Nobody is let in for it.
    assert_eq!(me_once(&client, "a.b.c").await, Err(Code::Unauthenticated));
    assert!(me_once(&client, &out).await.is_err());

    redis.run();
    until("it is back", || async {
        let reply = me_once(&client, &kept).await;
        assert!(matches!(reply, Ok(_) | Err(Code::Unavailable)), "{reply:?}");
        assert!(me_once(&client, &out).await.is_err());
        reply.is_ok()
    })
    .await;
    assert_eq!(me(&client, &out).await, Err(Code::Unauthenticated));
    program.assert_that_no_secret_leaked();
}

/// Runs the client of the example: whether it succeeded, and what it said.
fn run(service: &Service<'_>, method: &str, token: &str, input: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_client"))
        .args([&format!("http://{}", service.address()), method, token])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_says_what_it_was_answered() {
    let program = program();
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    let (done, said) = run(&service, "me", &token, "");
    assert!(done && said.contains("alice"), "{said}");
    let echo = run(&service, "echo", &token, "one\ntwo\n");
    assert_eq!(echo, (true, "one\ntwo\n".to_owned()));
    let (done, said) = run(&service, "audit", &token, "");
    assert!(!done && said.starts_with("PermissionDenied: "), "{said}");
    service.log_out(&token).await;
    let (done, said) = run(&service, "me", &token, "");
    assert!(!done && said.starts_with("Unauthenticated: "), "{said}");
}
