//! A connection that stays open for as long as its token is good.

use std::{pin::Pin, time::Duration};

use actix_jwt_revoke::AuthUser;
use actix_web::{
    Error, FromRequest as _, HttpRequest, HttpResponse,
    body::{BodyStream, BoxBody, MessageBody as _},
    dev,
    error::PayloadError,
    http::{StatusCode, header},
    rt,
    web::{Bytes, Data, Payload},
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use example_shared::{NO_UPGRADE, Stop};
use futures::{Stream, StreamExt as _, channel::oneshot, stream::poll_fn};
use jwt_revoke_core::guard::Ending;
use serde_json::json;
use tokio::time::timeout;

use crate::{app::answer, frames::bounded};

/// Echoes what it is sent, until the user logs out, the token lapses or the program stops.
pub(crate) async fn talks(
    user: AuthUser,
    stop: Data<Stop>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let body: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> =
        Box::pin(bounded(body.into_inner(), MESSAGE_BYTES as u64));
    let body = Payload::from_request(&request, &mut dev::Payload::from(body)).await?;
    let Ok((response, session, messages)) = actix_ws::handle(&request, body) else {
        let body = json!({ "error": "invalid_request", "error_description": NO_UPGRADE });
        let mut response = answer(StatusCode::UPGRADE_REQUIRED, &body);
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        for (name, value) in headers {
            let value = header::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        return Ok(response);
    };
    let messages = messages
        .max_frame_size(MESSAGE_BYTES)
        .aggregate_continuations()
        .max_continuation_size(MESSAGE_BYTES);
    let (done, is_done) = oneshot::channel();
    let stop = Stop::clone(&stop);
    rt::spawn(serve(session, messages, user.ended(), stop, done));
    Ok(response.map_body(|_, body| until(body, is_done)))
}

async fn serve(
    mut session: Session,
    mut messages: AggregatedMessageStream,
    ending: Ending,
    stop: Stop,
    mut done: oneshot::Sender<()>,
) {
    // Around all of it: a client that reads nothing must not keep the server from noticing.
    let reason = tokio::select! {
        biased;
        ended = ending => Some((ended.close_code().into(), ended.close_reason())),
        () = stop.asked() => Some((CloseCode::Away, "the server stops")),
        echoed = echo(&mut session, &mut messages) => match echoed {
            Ok(()) => None,
            Err(Malformed) => Some((CloseCode::Protocol, "malformed, or longer than 64 KiB")),
        },
    };
    let reason = reason.map(|(code, description)| CloseReason {
        code,
        description: Some(description.to_owned()),
    });
    // A client that does not take it is gone, or will see the connection end: what still waits for it
    // is dropped together with `done`.
    if timeout(GOODBYE, session.close(reason))
        .await
        .is_ok_and(|closed| closed.is_ok())
    {
        let _ = timeout(GOODBYE, done.cancellation()).await;
    }
}

/// The client sent what is no message, or too long.
struct Malformed;

async fn echo(
    session: &mut Session,
    messages: &mut AggregatedMessageStream,
) -> Result<(), Malformed> {
    while let Some(message) = messages.next().await {
        let sent = match message.map_err(|_| Malformed)? {
            AggregatedMessage::Text(text) => session.text(text).await,
            AggregatedMessage::Binary(bytes) => session.binary(bytes).await,
            AggregatedMessage::Ping(bytes) => session.pong(&bytes).await,
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(_) => break,
        };
        if sent.is_err() {
            break;
        }
    }
    Ok(())
}

/// The body that a client is sent, until the other end of `done` is gone.
fn until(body: BoxBody, done: oneshot::Receiver<()>) -> BoxBody {
    let mut body = body;
    let messages = poll_fn(move |cx| Pin::new(&mut body).poll_next(cx));
    BodyStream::new(messages.take_until(done)).boxed()
}

const MESSAGE_BYTES: usize = 64 * 1024;

const GOODBYE: Duration = Duration::from_secs(1);
