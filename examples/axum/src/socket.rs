//! A connection that stays open for as long as its token is good.

use std::time::Duration;

use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    response::Response,
};
use jwt_revoke_core::guard::Ending;
use tokio::time::timeout;
use tower_jwt_revoke::AuthUser;

/// Echoes what it is sent, until the user logs out or the token lapses.
pub(crate) async fn talks(user: AuthUser, upgrade: WebSocketUpgrade) -> Response {
    let ending = user.ended();
    upgrade
        .max_message_size(MESSAGE_BYTES)
        .on_upgrade(|socket| serve(socket, ending))
}

async fn serve(mut socket: WebSocket, ending: Ending) {
    // Around all of it: a client that reads nothing must not keep the server from noticing.
    let ended = tokio::select! {
        biased;
        ended = ending => ended,
        () = echo(&mut socket) => return,
    };
    let close = CloseFrame {
        code: ended.close_code(),
        reason: ended.close_reason().into(),
    };
    // Whoever does not take it is gone, or will see the connection end.
    let _ = timeout(GOODBYE, socket.send(Message::Close(Some(close)))).await;
}

async fn echo(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        // The rest, axum answers itself.
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

const MESSAGE_BYTES: usize = 64 * 1024;

const GOODBYE: Duration = Duration::from_secs(1);
