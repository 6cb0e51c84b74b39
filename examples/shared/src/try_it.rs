//! The lines that a program prints when it is up.

use std::net::SocketAddr;

/// Lines for a shell: log in, look, log out, look again; then a theft.
pub fn try_it(addr: SocketAddr) -> String {
    format!(
        r#"
Try it, in another terminal:

  json='content-type: application/json'
  login() {{ curl -s http://{addr}/login -H "$json" -d '{{"username":"alice","password":"wonderland"}}'; }}
  member() {{ sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }}
  refresh() {{ curl -s http://{addr}/auth/refresh -H "$json" -d "{{\"refresh_token\":\"$1\"}}"; }}
  status() {{ curl -s -o /dev/null -w '%{{http_code}}\n' "$@"; }}

  ACCESS=$(login | member access_token)
  status http://{addr}/me -H "authorization: Bearer $ACCESS"                  # 200
  status -X POST http://{addr}/auth/logout -H "authorization: Bearer $ACCESS" # 204
  status http://{addr}/me -H "authorization: Bearer $ACCESS"                  # 401, from now on

A theft (start the program with JWT_REVOKE_GRACE=0, or wait 30 s before the last refresh):

  STOLEN=$(login | member refresh_token)     # a thief copies Alice's refresh token
  ALICE=$(refresh "$STOLEN")                 # Alice refreshes: the copy is spent
  refresh "$STOLEN"; echo                    # the thief tries it: invalid_grant, and everything of Alice ends
  refresh "$(echo "$ALICE" | member refresh_token)"; echo                                         # invalid_grant
  status http://{addr}/me -H "authorization: Bearer $(echo "$ALICE" | member access_token)"   # 401

Alice logs in again; the thief cannot. Stop the program and start it again: what is dead stays dead. For two
processes on one Redis, set JWT_REVOKE_STORE=redis://127.0.0.1:6379 and, for the second,
JWT_REVOKE_ADDR=127.0.0.1:3001.
"#
    )
}
