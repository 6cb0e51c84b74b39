//! HTTP/1.1 by hand, so that requests can be malformed and responses are seen as they are.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// No server may keep a client longer: beyond it, a test fails as "hung".
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as bytes: the head, and the body if there is one.
#[derive(Clone)]
pub struct RawRequest {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl RawRequest {
    /// `GET` of a path.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// `POST` of a path, without a body.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path).header("content-length", "0")
    }

    /// A request line and a `Host`.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            head: format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes(),
            body: Vec::new(),
        }
    }

    /// `POST` of a path with a body.
    pub fn post_with(path: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path)
            .body(body)
            .header("content-type", media_type)
    }

    /// One more header field, whatever its bytes.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_ref(), b": ", value.as_ref(), b"\r\n"] {
            self.head.extend_from_slice(part);
        }
        self
    }

    /// `Authorization: Bearer ..`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// A body, and how long it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    /// Sends it, and reads the response to its end.
    pub async fn send(self, to: SocketAddr) -> RawResponse {
        RawResponse::parse(&self.exchange(to).await)
    }

    /// Sends it, and says whether any of the response came back.
    pub async fn is_answered(self, by: SocketAddr) -> bool {
        !self.exchange(by).await.is_empty()
    }

    async fn exchange(self, to: SocketAddr) -> Vec<u8> {
        let request = self.header("Connection", "close");
        let mut connection = RawConnection::open(to).await;
        let (mut reader, mut writer) = connection.stream.split();
        let exchange = async {
            let mut received = Vec::new();
            let bytes = [&request.head[..], b"\r\n", &request.body].concat();
            // A server that has read enough answers and closes: what it did not read is no error.
            let _ = tokio::join!(writer.write_all(&bytes), reader.read_to_end(&mut received));
            received
        };
        timeout(PATIENCE, exchange).await.expect("the server hung")
    }

    /// Sends all of it, and leaves the connection open. To drop it is to hang up.
    pub async fn ask(self, to: SocketAddr) -> RawConnection {
        let body = self.body.clone();
        let mut connection = self.begin(to).await;
        if !body.is_empty() {
            connection.write(&body).await;
        }
        connection
    }

    /// Sends the head alone, and leaves the connection open.
    pub async fn begin(self, to: SocketAddr) -> RawConnection {
        let mut connection = RawConnection::open(to).await;
        connection.write(&[&self.head[..], b"\r\n"].concat()).await;
        connection
    }
}

/// An exchange under way.
pub struct RawConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawConnection {
    /// A connection on which nothing was sent.
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("the server listens");
        let received = Vec::new();
        Self { stream, received }
    }

    /// Sends more.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it reads on");
    }

    /// Sends more, as a chunk (RFC 9112 §7.1); an empty one is the last.
    pub async fn write_chunk(&mut self, bytes: &[u8]) {
        let head = format!("{:x}\r\n", bytes.len());
        self.write(&[head.as_bytes(), bytes, b"\r\n"].concat())
            .await;
    }

    /// Reads until `needle` has come, and returns all that was received up to now.
    pub async fn read_until(&mut self, needle: &str) -> String {
        while !contains(&self.received, needle.as_bytes()) {
            let mut buffer = [0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            let read = read.expect("the server hung").expect("it sends on");
            let so_far = String::from_utf8_lossy(&self.received);
            assert_ne!(read, 0, "ended before {needle:?}: {so_far}");
            self.received.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

impl RawConnection {
    /// Reads until this many bytes have come after the last ones that were returned.
    pub async fn read_at_least(&mut self, bytes: usize) -> Vec<u8> {
        let from = self.received.len();
        while self.received.len() < from + bytes {
            assert!(
                self.read().await,
                "ended after {} bytes",
                self.received.len()
            );
        }
        self.received.clone()
    }

    /// Reads until the server has closed the connection, and returns what came until then.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let from = self.received.len();
        while self.read().await {}
        self.received.split_off(from)
    }

    /// Whether more has come. A connection that was reset has ended.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let read = read.expect("the server hung").unwrap_or_default();
        self.received.extend_from_slice(&buffer[..read]);
        read > 0
    }
}

/// A response, taken apart.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub body: String,
}

impl RawResponse {
    /// The value of a header that must not be there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "two {name} headers");
        value
    }

    /// The values of a header that may be there several times.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let values = self.headers.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn parse(received: &[u8]) -> Self {
        let text = String::from_utf8(received.to_vec()).expect("UTF-8");
        let (head, rest) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no response: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let chunked = headers.contains(&("transfer-encoding".into(), "chunked".into()));
        Self {
            status: status
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            headers,
            body: if chunked {
                unchunk(rest)
            } else {
                rest.to_owned()
            },
        }
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        let (chunk, more) = more.split_at(size);
        body.push_str(chunk);
        rest = more.strip_prefix("\r\n").expect("the end of a chunk");
    }
    body
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
