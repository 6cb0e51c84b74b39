//! A connection that stays open for as long as its token is good.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use example_shared::{NO_UPGRADE, Stop};
use jwt_revoke_core::guard::Ending;
use tokio::time::timeout;
use tower_jwt_revoke::AuthUser;

/// Echoes what it is sent, until the user logs out, the token lapses or the program stops.
pub(crate) async fn talks(
    user: AuthUser,
    State(stop): State<Stop>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        let body = serde_json::json!({
            "error": "invalid_request",
            "error_description": NO_UPGRADE,
        });
        return (StatusCode::UPGRADE_REQUIRED, headers, Json(body)).into_response();
    };
    let ending = user.ended();
    upgrade
        // A frame says how long it will be, and a message may come in many.
        .max_frame_size(MESSAGE_BYTES)
        .max_message_size(MESSAGE_BYTES)
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES)
        .on_upgrade(|socket| serve(socket, ending, stop))
}

async fn serve(mut socket: WebSocket, ending: Ending, stop: Stop) {
    let _held = stop.hold();
    // Around all of it: a client that reads nothing must not keep the server from noticing.
    let close = tokio::select! {
        biased;
        ended = ending => CloseFrame {
            code: ended.close_code(),
            reason: ended.close_reason().into(),
        },
        () = stop.asked() => CloseFrame {
            code: 1001,
            reason: "the server stops".into(),
        },
        echoed = echo(&mut socket) => match echoed {
            Ok(()) => return,
            Err(Malformed) => CloseFrame {
                code: 1002,
                reason: "malformed, or longer than 64 KiB".into(),
            },
        },
    };
    // A client that does not take it is gone, or will see the connection end.
    let _ = timeout(GOODBYE, socket.send(Message::Close(Some(close)))).await;
}

/// The client sent what is no message, or too long.
struct Malformed;

async fn echo(socket: &mut WebSocket) -> Result<(), Malformed> {
    while let Some(message) = socket.recv().await {
        let message = message.map_err(|_| Malformed)?;
        // axum answers the others itself.
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

const MESSAGE_BYTES: usize = 64 * 1024;

const READ_BYTES: usize = 8 * 1024;

const GOODBYE: Duration = Duration::from_secs(1);
