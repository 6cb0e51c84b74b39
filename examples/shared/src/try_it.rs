//! The lines that a program prints when it is up.

use std::net::SocketAddr;

/// Lines for a shell: log in and out, refresh, be robbed, log out everywhere. The readme and the
/// programs' own documentation have the same.
pub fn try_it(addr: SocketAddr) -> String {
    format!(
        r#"
Try it, in another terminal:

  AT=http://{addr}
  login()   {{ curl -s $AT/login -H content-type:application/json -d '{{"username":"alice","password":"wonderland"}}'; }}
  token()   {{ printf %s "$2" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }}
  refresh() {{ curl -s $AT/auth/refresh -H content-type:application/json -d "{{\"refresh_token\":\"$(token refresh_token "$1")\"}}"; }}
  status()  {{ curl -s -o /dev/null -w '%{{http_code}}\n' -H "authorization: Bearer $(token access_token "$1")" "$AT$2" -X "$3"; }}
  me()      {{ status "$1" /me GET; }}

  PHONE=$(login); me "$PHONE"                              # 200
  status "$PHONE" /auth/logout POST; me "$PHONE"           # 204, and 401 from now on

  PHONE=$(login); PHONE=$(refresh "$PHONE"); me "$PHONE"   # 200; the first refresh token is spent

  STOLEN=$(login)                                          # a thief copies what Alice has,
  ALICE=$(refresh "$STOLEN")                               # Alice refreshes, and
  refresh "$STOLEN"; echo                                  # the thief comes second: invalid_grant
  refresh "$ALICE"; echo                                   # nobody knows who was the thief: invalid_grant
  me "$ALICE"; me "$STOLEN"; me "$PHONE"                   # 401 401 401: nothing of Alice is left to use

  PHONE=$(login); LAPTOP=$(login)                          # Alice logs in again, the thief cannot
  status "$PHONE" /auth/logout-all POST                    # 204: log out everywhere
  me "$PHONE"; me "$LAPTOP"; me "$(login)"                 # 401 401, and 200 for a new login

The theft is for JWT_REVOKE_GRACE=0. With the default, a spent token gets its successor again for 30 s, since answers
get lost and tabs refresh together. Stop the program and start it again: what is dead stays dead. For two processes on
one Redis, set JWT_REVOKE_STORE=redis://127.0.0.1:6379 and, for the second, JWT_REVOKE_ADDR=127.0.0.1:3001.
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_and_the_program_have_the_same_lines() {
        let lines = try_it(([127, 0, 0, 1], 3000).into());
        let lines = lines.lines().filter_map(|line| line.strip_prefix("  "));
        for (name, text, margin) in [
            ("readme", include_str!("../../../README.md"), ""),
            ("axum", include_str!("../../axum/src/main.rs"), "//! "),
            ("actix", include_str!("../../actix/src/main.rs"), "//! "),
        ] {
            for line in lines.clone() {
                let line = format!("{margin}{line}");
                assert!(text.lines().any(|own| own == line), "{name}: {line}");
            }
        }
    }
}
