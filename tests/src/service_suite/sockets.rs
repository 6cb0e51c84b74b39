//! Connections that stay open: they end with their token.

use std::time::Instant;

use futures::{SinkExt as _, StreamExt as _};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use super::{
    Program, Service,
    process::{ALICE, BOB},
};
use crate::{patience::PATIENCE, redis_server::RedisServer};

/// The token is no longer good (RFC 6455 §7.4.1).
const POLICY: u16 = 1008;

/// The server stops.
const AWAY: u16 = 1001;

/// Try again later.
const AGAIN: u16 = 1013;

pub async fn i1_a_logout_closes_the_sockets_of_its_session_and_no_others(program: &Program) {
    let service = program.start(&[]);
    let mut kept = Socket::open(&service, &service.token(ALICE).await).await;
    // By the time that the last of them is closed, the one that stays was looked at several times.
    for user in [BOB, ALICE, BOB, ALICE] {
        let token = service.token(user).await;
        let mut sockets = [
            Socket::open(&service, &token).await,
            Socket::open(&service, &token).await,
        ];
        for socket in &mut sockets {
            socket.echoes().await;
        }
        service.log_out(&token).await;
        for socket in sockets {
            assert_eq!(socket.closed().await, POLICY);
        }
        kept.echoes().await;
        let refused = connect(&service, &token).await.map(|_| ());
        assert!(
            matches!(&refused, Err(tungstenite::Error::Http(response)) if response.status() == 401),
            "{refused:?}"
        );
    }
}

pub async fn a_socket_is_closed_when_its_token_lapses(program: &Program) {
    let service = program.start(&[("JWT_REVOKE_ACCESS_TTL", "2")]);
    let mut socket = Socket::open(&service, &service.token(ALICE).await).await;
    socket.echoes().await;
    assert_eq!(socket.closed().await, POLICY);
}

pub async fn i1_a_logout_closes_sockets_in_other_processes(program: &Program) {
    let redis = RedisServer::start();
    for consistency in ["mirror:1000", "strict"] {
        let settings = [
            ("JWT_REVOKE_STORE", &*redis.url()),
            ("JWT_REVOKE_CONSISTENCY", consistency),
        ];
        let fleet = [program.start(&settings), program.start(&settings)];
        let (token, other) = (fleet[0].token(ALICE).await, fleet[0].token(BOB).await);
        let mut socket = Socket::open(&fleet[1], &token).await;
        let mut kept = Socket::open(&fleet[1], &other).await;
        socket.echoes().await;
        fleet[0].log_out(&token).await;
        assert_eq!(socket.closed().await, POLICY, "{consistency}");
        kept.echoes().await;
    }
}

pub async fn r1_sockets_outlast_a_killed_redis_as_long_as_the_policy_says(program: &Program) {
    let mut redis = RedisServer::start();
    let url = redis.url();
    let start =
        |outage| program.start(&[("JWT_REVOKE_STORE", &*url), ("JWT_REVOKE_OUTAGE", outage)]);
    let (deny, allow) = (start("deny"), start("allow"));
    let token = deny.token(ALICE).await;
    let mut denied = Socket::open(&deny, &token).await;
    let mut allowed = Socket::open(&allow, &token).await;
    redis.kill();
    // Not at once: an outage that is over soon ends nothing.
    denied.echoes().await;
    assert_eq!(denied.closed().await, AGAIN);
    allowed.echoes().await;
    // It is looked at again, when somebody can say.
    redis.run();
    allow.until(&token, 200, &[401]).await;
    allow.log_out(&token).await;
    assert_eq!(allowed.closed().await, POLICY);
}

pub async fn open_sockets_do_not_keep_a_program_from_stopping(program: &Program) {
    let service = program.start(&[]);
    let mut socket = Socket::open(&service, &service.token(ALICE).await).await;
    socket.echoes().await;
    service.terminate();
    assert_eq!(socket.closed().await, AWAY);
    let status = service.ended();
    assert!(status.success(), "{status}");
}

/// The client's end of an open connection.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one; tries again while the program says 503.
    async fn open(service: &Service<'_>, token: &str) -> Self {
        let start = Instant::now();
        loop {
            match connect(service, token).await {
                Ok(socket) => return Self(socket),
                Err(tungstenite::Error::Http(response)) if response.status() == 503 => {}
                Err(error) => panic!("{error}"),
            }
            assert!(start.elapsed() < PATIENCE, "503 for ever");
        }
    }

    async fn echoes(&mut self) {
        self.0.send(Message::text("hello")).await.unwrap();
        let answer = timeout(PATIENCE, self.0.next()).await.expect("no answer");
        assert_eq!(answer.unwrap().unwrap(), Message::text("hello"));
    }

    /// The code with which the program closes it, after which it ends the connection.
    async fn closed(mut self) -> u16 {
        let next = timeout(PATIENCE, self.0.next())
            .await
            .expect("it stays open");
        let Some(Ok(Message::Close(Some(frame)))) = next else {
            panic!("not closed: {next:?}");
        };
        assert!(!frame.reason.is_empty());
        let end = timeout(PATIENCE, self.0.next()).await;
        assert!(end.expect("the connection stays open").is_none());
        frame.code.into()
    }
}

async fn connect(
    service: &Service<'_>,
    token: &str,
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let url = format!("ws://{}/ws", service.address());
    let mut request = url.into_client_request()?;
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    let stream = TcpStream::connect(service.address()).await?;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}
