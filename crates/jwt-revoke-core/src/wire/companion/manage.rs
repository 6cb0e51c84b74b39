//! The routes by which users manage their sessions.

use serde::Serialize;

use super::{Asked, Companion, Reply, unavailable};
use crate::{
    Denied,
    guard::Access,
    session::{EndError, SessionInfo},
    token::SessionId,
};

impl Companion {
    /// `POST /logout-all`: everything the user holds up to now ends, this session included.
    #[doc(alias = "nuclear")]
    pub async fn logout_all(&self, access: &Access, asked: &Asked<'_>) -> Reply {
        let ended = async {
            self.refuse_borrowed_cookies(asked)?;
            let subject = self.manager(access)?;
            let ended = self.sessions.revoke_all(subject.clone()).await;
            ended.map(drop).map_err(|error| refused(self, &error))
        };
        match ended.await {
            Ok(()) => self.clear(asked, Reply::no_content(), |token| {
                token.registered().subject.as_ref() == access.subject()
            }),
            Err(refusal) => refusal,
        }
    }

    /// `POST /logout-others`: all of the user's sessions end but this one.
    pub async fn logout_others(&self, access: &Access, asked: &Asked<'_>) -> Reply {
        let ended = async {
            self.refuse_borrowed_cookies(asked)?;
            self.manager(access)?;
            let ended = self.sessions.revoke_others(access).await;
            ended.map_err(|error| refused(self, &error))
        };
        match ended.await {
            Ok(()) => Reply::no_content(),
            Err(refusal) => refusal,
        }
    }

    /// `GET /sessions`: the user's live sessions, the oldest first. Instants are seconds since 1970.
    pub async fn list(&self, access: &Access) -> Reply {
        let subject = match self.manager(access) {
            Ok(subject) => subject,
            Err(refusal) => return refusal,
        };
        match self.sessions.sessions(subject, access.session()).await {
            Ok(sessions) => Reply::json(
                200,
                &Listed {
                    sessions: sessions.iter().map(Session::of).collect(),
                },
            ),
            Err(error) => unavailable(&error),
        }
    }

    /// `DELETE /sessions/{sid}`: "sign out that device". A session that does not exist, or is
    /// somebody else's, is 404.
    pub async fn end(&self, access: &Access, session: &str, asked: &Asked<'_>) -> Reply {
        let session = SessionId::from(session);
        let ended = async {
            self.refuse_borrowed_cookies(asked)?;
            self.manager(access)?;
            if session.instant().is_none() {
                return Err(refused(self, &EndError::NotFound)); // None of ours is called that.
            }
            let ended = self.sessions.revoke_session(access, &session).await;
            ended.map_err(|error| refused(self, &error))
        };
        match ended.await {
            Ok(()) if access.session() == Some(&session) => {
                self.clear(asked, Reply::no_content(), |token| {
                    token.registered().session.as_ref() == Some(&session)
                })
            }
            Ok(()) => Reply::no_content(),
            Err(refusal) => refusal,
        }
    }
}

pub(super) fn refused(companion: &Companion, error: &EndError) -> Reply {
    match error {
        EndError::Store(error) => unavailable(error),
        // Since the layer let it through.
        EndError::Ended => companion.denied(&Denied::Revoked { dimension: None }),
        _ => Reply::error(404, "not_found", "there is no such session"),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    sessions: Vec<Session<'a>>,
}

#[derive(Serialize)]
struct Session<'a> {
    id: &'a str,
    client: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    created_at: u64,
    last_used_at: u64,
    expires_at: u64,
    current: bool,
}

impl<'a> Session<'a> {
    fn of(info: &'a SessionInfo) -> Self {
        Self {
            id: info.id.as_str(),
            client: info.client.as_str(),
            device: info.device.as_deref(),
            created_at: info.opened_at.whole_seconds(),
            last_used_at: info.last_used_at.whole_seconds(),
            expires_at: info.expires_at.whole_seconds(),
            current: info.current,
        }
    }
}
