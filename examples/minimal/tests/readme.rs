//! The first program of the readme is this one, and it does what it is shown for.

#![allow(clippy::unwrap_used)]

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use jwt_revoke_tests::{
    patience::until,
    raw_http::{RawRequest, RawResponse},
};

const README: &str = include_str!("../../../README.md");
const PROGRAM: &str = include_str!("../src/main.rs");

/// The first block of Rust in the readme.
fn shown() -> &'static str {
    let (_, rest) = README.split_once("\n```rust").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("\n```").unwrap().0
}

/// The code of a program, however it is laid out: no module documentation, no white space, and no
/// comma in front of a closing bracket.
fn code(program: &str) -> String {
    let lines = program.lines().filter(|line| !line.starts_with("//!"));
    let mut code: String = lines.flat_map(|line| line.chars()).collect();
    code.retain(|c| !c.is_whitespace());
    for bracket in [')', ']', '}'] {
        code = code.replace(&format!(",{bracket}"), &bracket.to_string());
    }
    code
}

#[test]
fn the_readme_shows_this_program_in_thirty_lines() {
    assert_eq!(code(shown()), code(PROGRAM));
    let lines = shown().lines().count();
    assert!(lines <= 30, "{lines} lines");
}

/// The program, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(folder: &std::path::Path) -> (Running, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = Command::new(env!("CARGO_BIN_EXE_example-minimal"))
        .env("JWT_REVOKE_ADDR", address.to_string())
        .current_dir(folder)
        .stdin(Stdio::null())
        .spawn();
    let running = Running(child.unwrap());
    let listens = || async { tokio::net::TcpStream::connect(address).await.is_ok() };
    until("the program listens", listens).await;
    (running, address)
}

async fn me(at: SocketAddr, access: &str) -> u16 {
    let response = RawRequest::get("/me").bearer(access).send(at).await;
    response.status
}

fn field(pair: &RawResponse, name: &str) -> String {
    assert_eq!(pair.status, 200, "{pair:?}");
    pair.json()[name].as_str().unwrap().to_owned()
}

fn post(path: &str, body: &str) -> RawRequest {
    RawRequest::post_with(path, "application/json", body)
}

#[tokio::test]
async fn the_program_of_the_readme_logs_in_protects_refreshes_lists_and_logs_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, at) = start(folder.path()).await;
    let wrong = post("/login", r#"["alice", "looking-glass"]"#);
    assert_eq!(wrong.send(at).await.status, 401);
    assert_eq!(me(at, "nonsense").await, 401);

    let login = post("/login", r#"["alice", "wonderland"]"#);
    let first = login.clone().send(at).await;
    let other = field(&login.send(at).await, "access_token");
    assert_eq!(me(at, &field(&first, "access_token")).await, 200);

    let spent = format!(
        r#"{{"refresh_token":"{}"}}"#,
        field(&first, "refresh_token")
    );
    let second = post("/auth/refresh", &spent).send(at).await;
    let access = field(&second, "access_token");
    assert_eq!(me(at, &access).await, 200);

    let sessions = RawRequest::get("/auth/sessions").bearer(&access);
    let listed = sessions.send(at).await;
    assert_eq!(listed.json()["sessions"].as_array().unwrap().len(), 2);

    let logout = RawRequest::post("/auth/logout").bearer(&access);
    assert_eq!(logout.send(at).await.status, 204);
    assert_eq!(me(at, &access).await, 401);
    assert_eq!(me(at, &field(&first, "access_token")).await, 401);
    assert_eq!(me(at, &other).await, 200);
}
