//! What a client can have the program hold: memory, places in a queue, sockets, time at its end.

use std::{fs, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Program, Service,
    process::{ALICE, BOB},
};
use crate::{
    patience::PATIENCE,
    raw_http::{RawConnection, RawRequest},
};

/// What a message of a socket may have, in bytes.
const MESSAGE: usize = 64 * 1024;

/// A program and four checks of a password at a time need less.
const MEMORY_KB: u64 = 256 * 1024;

pub async fn t47_wrong_passwords_leave_no_memory_behind(program: &Program) {
    let service = program.start(&[("JWT_REVOKE_STORE", "memory:")]);
    for number in 0..60 {
        let name = format!("user-{number}");
        assert_eq!(service.login((&name, "wrong-password")).await.status, 401);
    }
    let most = service.most_memory_kb();
    assert!(most < MEMORY_KB, "{most} KB");
}

pub async fn t47_more_logins_than_can_be_checked_are_refused_and_the_next_one_works(
    program: &Program,
) {
    let service = program.start(&[("JWT_REVOKE_STORE", "memory:")]);
    let start = Instant::now();
    loop {
        let logins = (0..150).map(|_| service.login(("mallory", "wrong-password")));
        let answers = join_all(logins).await;
        let refused: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != 401)
            .collect();
        for answer in &refused {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.json()["error"], "temporarily_unavailable");
            assert!(answer.header("retry-after").is_some());
        }
        if !refused.is_empty() {
            break;
        }
        // They came one after the other, on a machine that is busy.
        assert!(start.elapsed() < PATIENCE, "the queue has no end");
    }
    // They are gone, and nobody else waits for them.
    assert_eq!(service.login(ALICE).await.status, 200);
    let most = service.most_memory_kb();
    assert!(most < MEMORY_KB, "{most} KB");
}

pub async fn t46_a_frame_that_announces_too_much_closes_its_socket(program: &Program) {
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    for length in [MESSAGE as u64 + 1, 1 << 20, 1 << 40, u64::MAX >> 1] {
        let mut socket = open(&service, &token).await;
        // Nothing of it follows: what would be kept is refused before it is there.
        socket.write(&frame_head(0x82, length)).await;
        socket.until_closed().await;
    }
    // As long as one may be, whole and in parts.
    let mut socket = open(&service, &token).await;
    socket.write(&frame(0x82, &[b'x'; MESSAGE])).await;
    let received = socket.read_at_least(10 + MESSAGE).await;
    assert!(received.ends_with(&[b'x'; MESSAGE]));
    // In more parts than there is room for.
    let mut socket = open(&service, &token).await;
    let half = vec![b'y'; MESSAGE / 2 + 1];
    socket.write(&frame(0x02, &half)).await;
    socket.write(&frame(0x00, &half)).await;
    socket.until_closed().await;
    let most = service.most_memory_kb();
    assert!(most < MEMORY_KB, "{most} KB");
}

pub async fn a_message_in_fragments_is_one_message(program: &Program) {
    let service = program.start(&[]);
    let mut socket = open(&service, &service.token(ALICE).await).await;
    socket.write(&frame(0x01, b"in ")).await;
    // A control frame may stand between them (RFC 6455 §5.4).
    socket.write(&frame(0x89, b"ping")).await;
    socket.read_until("\x04ping").await;
    socket.write(&frame(0x00, b"three ")).await;
    socket.write(&frame(0x80, b"parts")).await;
    socket.read_until("\x0ein three parts").await;
}

pub async fn a_socket_that_is_not_opened_as_one_is_426(program: &Program) {
    let service = program.start(&[]);
    let token = service.token(ALICE).await;
    let wrong: [&[(&str, &str)]; 4] = [
        &[],
        &[("upgrade", "websocket")],
        &[("connection", "upgrade"), ("upgrade", "h2c")],
        &[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ];
    for headers in wrong {
        let request = RawRequest::get("/ws").bearer(&token);
        let request = headers
            .iter()
            .fold(request, |r, (name, value)| r.header(name, value));
        let response = service.send(request).await;
        assert_eq!(response.status, 426, "{headers:?}: {response:?}");
        assert_eq!(response.header("upgrade"), Some("websocket"));
        assert_eq!(response.header("sec-websocket-version"), Some("13"));
        assert_eq!(response.json()["error"], "invalid_request");
    }
}

pub async fn t48_a_socket_that_reads_nothing_does_not_stay(program: &Program) {
    let service = program.start(&[("JWT_REVOKE_STORE", "memory:")]);
    let token = service.token(BOB).await;
    let mut socket = open(&service, &token).await;
    let message = frame(0x82, &[b'x'; MESSAGE]);
    // What it sends comes back, and is not read, until nobody takes any more.
    while timeout(Duration::from_secs(1), socket.write(&message))
        .await
        .is_ok()
    {}
    assert!(service.connections() > 0);
    service.log_out(&token).await;
    let start = Instant::now();
    while service.connections() > 0 {
        assert!(start.elapsed() < PATIENCE, "it is still open");
        sleep(Duration::from_millis(50)).await;
    }
    let late = socket.until_closed().await;
    assert!(late.len() < 4 << 20, "{} bytes arrive late", late.len());
    let most = service.most_memory_kb();
    assert!(most < MEMORY_KB, "{most} KB");
}

pub async fn t49_half_a_request_does_not_keep_a_program_from_stopping(program: &Program) {
    let mut service = program.start(&[("JWT_REVOKE_DRAIN", "1")]);
    let mut halves = Vec::new();
    // One whose handler waits for the rest of the body, one without the end of its head.
    let login = RawRequest::new("POST", "/login")
        .header("content-type", "application/json")
        .header("content-length", "100")
        .header("expect", "100-continue");
    let mut body = login.begin(service.address()).await;
    body.read_until("100 Continue").await;
    halves.push(body);
    let mut head = RawConnection::open(service.address()).await;
    head.write(b"GET /me HTTP/1.1\r\nhost: a\r\nx: ").await;
    halves.push(head);
    service.terminate();
    service.until_logged("finishing the requests at hand").await;
    assert!(service.runs());
    assert!(service.ended().success());
    drop(halves);
}

pub async fn a_second_signal_ends_a_program_at_once(program: &Program) {
    let service = program.start(&[("JWT_REVOKE_DRAIN", "3600")]);
    let login = RawRequest::new("POST", "/login")
        .header("content-type", "application/json")
        .header("content-length", "100")
        .header("expect", "100-continue");
    let mut half = login.begin(service.address()).await;
    half.read_until("100 Continue").await;
    service.terminate();
    service.until_logged("finishing the requests at hand").await;
    service.terminate();
    assert!(service.ended().success());
}

/// A socket, by hand.
async fn open(service: &Service<'_>, token: &str) -> RawConnection {
    let request = RawRequest::get("/ws")
        .bearer(token)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut socket = request.begin(service.address()).await;
    let answer = socket.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    socket
}

/// The first bytes of a frame of a client (RFC 6455 §5.2), masked by zeros.
fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..=125 => head.push(0x80 | length as u8),
        126..=0xffff => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&*frame_head(first, payload.len() as u64), payload].concat()
}

impl Service<'_> {
    /// The most memory that the process has had, in KB.
    fn most_memory_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        number.unwrap().trim().parse().unwrap()
    }

    /// How many connections of clients the process has open, by the kernel's table. One that it has
    /// closed may still be listed, and has no inode.
    fn connections(&self) -> usize {
        let port = format!(":{:04X}", self.address().port());
        let is_open = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields[1].ends_with(&port) && fields[3] != LISTENING && fields[9] != "0"
        };
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).filter(|line| is_open(line)).count()
    }
}

/// The state of a listener in the kernel's table.
const LISTENING: &str = "0A";
