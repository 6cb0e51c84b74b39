//! What a server speaks that was not understood: TLS where none was expected, or the other way round.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::store::redis::client::Server;

/// The mend, if the server speaks something else than was expected. It is sent nothing secret.
pub(super) async fn mend(server: &Server, tls: bool) -> Option<&'static str> {
    let mend = match (tls, timeout(LONGEST, first_words(server)).await) {
        (true, Ok(Speech::Redis)) => {
            "it speaks without TLS: write redis:// instead of rediss://, or give the TLS port"
        }
        (false, Ok(Speech::Tls)) => "it speaks TLS: write rediss:// instead of redis://",
        (false, Ok(Speech::Closed)) => {
            "it closed the connection without a word: if it is a TLS port, write rediss:// instead of redis://"
        }
        (_, Ok(Speech::Other)) => "it is no Redis server",
        _ => return None,
    };
    Some(mend)
}

enum Speech {
    Redis,
    Tls,
    Closed,
    Other,
    Nothing,
}

async fn first_words(server: &Server) -> Speech {
    let Ok(mut stream) = TcpStream::connect((server.host.as_str(), server.port)).await else {
        return Speech::Nothing;
    };
    let mut first = [0];
    if stream.write_all(b"PING\r\n").await.is_err() {
        return Speech::Closed;
    }
    match stream.read(&mut first).await {
        Ok(0) | Err(_) => Speech::Closed,
        // An alert, by which TLS refuses what is none (RFC 8446 §5.1).
        Ok(_) if first[0] == 0x15 => Speech::Tls,
        Ok(_) if matches!(first[0], b'+' | b'-') => Speech::Redis,
        Ok(_) => Speech::Other,
    }
}

/// How long the server may take to say something.
const LONGEST: Duration = Duration::from_millis(300);
