//! A listener whose connections cannot hold on for ever.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Listens on an address, for servers of any framework.
///
/// Its connections keep little for a client that does not read: the kernel takes 64 KiB and no more,
/// and closes the connection when nothing of it was taken for ten seconds, where it can (Linux).
/// Otherwise a client could keep a connection open long after its token was revoked, and be sent
/// later what was waiting.
///
/// # Errors
///
/// What the operating system says, with the address and the setting that names it.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr).map_err(|error| {
        let reason = format!("cannot listen on {addr}, which JWT_REVOKE_ADDR names: {error}");
        io::Error::new(error.kind(), reason)
    })?;
    // Accepted connections inherit both.
    #[cfg(target_os = "linux")]
    {
        rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER_BYTES)?;
        rustix::net::sockopt::set_tcp_user_timeout(&listener, UNREAD_MS)?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(target_os = "linux")]
const SEND_BUFFER_BYTES: usize = 64 * 1024;

#[cfg(target_os = "linux")]
const UNREAD_MS: u32 = 10_000;
