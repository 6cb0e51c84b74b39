//! The lines that a program prints when it is up.

use std::net::SocketAddr;

/// Lines for a shell: log in, look, log out, look again.
pub fn try_it(addr: SocketAddr) -> String {
    format!(
        r#"
Try it, in another terminal:

  TOKEN=$(curl -s http://{addr}/login -H 'content-type: application/json' \
    -d '{{"username":"alice","password":"wonderland"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -i http://{addr}/me -H "authorization: Bearer $TOKEN"                  # 200
  curl -i -X POST http://{addr}/auth/logout -H "authorization: Bearer $TOKEN" # 204
  curl -i http://{addr}/me -H "authorization: Bearer $TOKEN"                  # 401, from now on

Stop the program and start it again: still 401. For two processes on one Redis, set
JWT_REVOKE_STORE=redis://127.0.0.1:6379 and, for the second, JWT_REVOKE_ADDR=127.0.0.1:3001.
"#
    )
}
