//! Calls that stream.

use example_tonic::proto::{EchoMessage, MeRequest};
use futures::{SinkExt as _, channel::mpsc};
use jwt_revoke_core::guard::Target;
use jwt_revoke_tests::{controlled_store::Mood, http_suite::Fixture};
use tonic::{Code, Request};

use crate::{Probe, behind, guarded, layer, subject, with, with_text};

fn message(text: &str) -> EchoMessage {
    EchoMessage { text: text.into() }
}

#[tokio::test]
async fn messages_pass_both_ways_as_they_come() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    let (mut send, messages) = mpsc::channel(1);
    let mut echo = client
        .echo(with(&alice, messages))
        .await
        .unwrap()
        .into_inner();
    for text in ["one", "two", "three"] {
        send.send(message(text)).await.unwrap();
        assert_eq!(echo.message().await.unwrap(), Some(message(text)));
    }
    drop(send);
    assert_eq!(echo.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_is_refused_before_its_first_message() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let probe = Probe::new(subject);
    let mut client = behind(layer(&fixture.guard), &probe).await;
    fixture
        .guard
        .revoke(Target::subject("alice"))
        .await
        .unwrap();
    // They stay open: the answer does not wait for their end.
    let [(_one, first), (_two, second), (_three, third)] =
        [mpsc::channel(1), mpsc::channel(1), mpsc::channel(1)];
    let status = client.echo(with(&alice, first)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client.echo(Request::new(second)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client.echo(with_text("a b", third)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(probe.calls(), 0);
}

#[tokio::test]
async fn r1_a_stream_is_unavailable_while_the_store_fails_and_an_open_one_goes_on() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    let (mut send, messages) = mpsc::channel(1);
    let mut open = client
        .echo(with(&alice, messages))
        .await
        .unwrap()
        .into_inner();
    fixture.store.set(Mood::Fails);
    let (_send, messages) = mpsc::channel(1);
    let status = client.echo(with(&alice, messages)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    send.send(message("still here")).await.unwrap();
    assert_eq!(open.message().await.unwrap(), Some(message("still here")));
}

#[tokio::test]
async fn refused_streams_leave_the_connection_in_service() {
    let fixture = Fixture::new();
    let alice = fixture.login("alice").await;
    let mut client = guarded(&fixture).await;
    // More than the streams that HTTP/2 has at once, each with a message that nobody reads.
    for _ in 0..250 {
        let (mut send, messages) = mpsc::channel(1);
        send.send(message(&"x".repeat(1024))).await.unwrap();
        let status = client.echo(with_text("a.b.c", messages)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let reply = client.me(with(&alice, MeRequest {})).await.unwrap();
    assert_eq!(reply.into_inner().sub, "alice");
}
