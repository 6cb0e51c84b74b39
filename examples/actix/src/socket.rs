//! A connection that stays open for as long as its token is good.

use std::time::Duration;

use actix_jwt_revoke::AuthUser;
use actix_web::{Error, HttpRequest, HttpResponse, rt, web::Payload};
use actix_ws::{CloseReason, Closed, Message, MessageStream, Session};
use futures::StreamExt as _;
use jwt_revoke_core::guard::Ending;
use tokio::time::timeout;

/// Echoes what it is sent, until the user logs out or the token lapses.
pub(crate) async fn talks(
    user: AuthUser,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    let messages = messages.max_frame_size(MESSAGE_BYTES);
    rt::spawn(serve(session, messages, user.ended()));
    Ok(response)
}

async fn serve(mut session: Session, mut messages: MessageStream, ending: Ending) {
    // Around all of it: a client that reads nothing must not keep the server from noticing.
    let reason = tokio::select! {
        biased;
        ended = ending => Some(CloseReason {
            code: ended.close_code().into(),
            description: Some(ended.close_reason().to_owned()),
        }),
        _ = echo(&mut session, &mut messages) => None,
    };
    // Whoever does not take it is gone, or will see the connection end.
    let _ = timeout(GOODBYE, session.close(reason)).await;
}

async fn echo(session: &mut Session, messages: &mut MessageStream) -> Result<(), Closed> {
    while let Some(Ok(message)) = messages.next().await {
        match message {
            Message::Text(text) => session.text(text).await?,
            Message::Binary(bytes) => session.binary(bytes).await?,
            Message::Ping(bytes) => session.pong(&bytes).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}

const MESSAGE_BYTES: usize = 64 * 1024;

const GOODBYE: Duration = Duration::from_secs(1);
