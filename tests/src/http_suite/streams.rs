//! Bodies that take their time, and connections that become something else.

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};

use super::{Server, refusals::assert_no_token};
use crate::raw_http::RawRequest;

pub async fn responses_stream(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let request = RawRequest::get("/stream").bearer(alice.token());
    let mut connection = request.begin(server.address).await;
    let begun = connection.read_until("first").await;
    assert!(begun.starts_with("HTTP/1.1 200") && !begun.contains("second"));
    server.fixture.go_on.notify_one();
    connection.read_until("second").await;
}

pub async fn request_bodies_stream(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let request = RawRequest::new("POST", "/echo").header("Transfer-Encoding", "chunked");
    let mut connection = request
        .clone()
        .bearer(alice.token())
        .begin(server.address)
        .await;
    connection.write_chunk(b"one").await;
    connection.read_until("one").await;
    connection.write_chunk(b"two").await;
    connection.read_until("two").await;
    connection.write_chunk(b"").await;
    connection.read_until("\r\n0\r\n").await;

    // A refusal does not wait for the body.
    let mut connection = request.begin(server.address).await;
    connection
        .read_until("this resource needs an access token")
        .await;
}

pub async fn websockets_are_upgraded(server: &Server) {
    let alice = server.fixture.login("alice").await;
    let connect = async |token: &str| {
        let mut request = format!("ws://{}/ws", server.address)
            .into_client_request()
            .unwrap();
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        let stream = TcpStream::connect(server.address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await
    };
    let (mut socket, response) = connect(alice.token()).await.unwrap();
    assert_eq!(response.status(), 101);
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::text("hello")
    );

    let refused = connect("a.b.c").await.map(|_| ());
    let Err(tungstenite::Error::Http(response)) = refused else {
        panic!("upgraded without a good token: {refused:?}");
    };
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    assert_no_token(&server.get_bare("/ws").await);
}
