//! Refusals in the words of gRPC.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    defaults,
    guard::Denied,
    wire::{Refusal, Rejection, Render},
};

/// Refusals as gRPC has them: a status instead of a body, for layers in front of gRPC services.
///
/// The response is of the form *Trailers-Only* of the
/// [protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): HTTP 200 without a
/// body, whose headers hold `grpc-status` ([`GrpcCode`]) and `grpc-message`, which does not tell which
/// check failed. Beside `UNAVAILABLE` stands `grpc-retry-pushback-ms`, by which clients with a retry
/// policy wait before they try again
/// ([A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback)).
///
/// It needs no gRPC library, and suits any of them.
///
/// ```
/// use jwt_revoke_core::{Denied, wire::{Grpc, Render as _}};
///
/// let refusal = Grpc::new().render(&Denied::Missing);
/// assert_eq!(refusal.status, 200);
/// assert!(refusal.headers.contains(&("grpc-status", "16".to_owned())));
/// assert!(refusal.body.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Grpc(());

impl Grpc {
    /// The only one there is.
    pub const fn new() -> Self {
        Self(())
    }

    /// What a client is told where a handler finds no user: the refusal itself if its layer speaks
    /// gRPC, else the same in gRPC, and `INTERNAL` where no layer was passed.
    pub fn rejected(&self, rejection: &Rejection) -> Refusal {
        match rejection {
            Rejection::MissingAccess(_) => {
                trailers_only(GrpcCode::Internal, "the server is misconfigured")
            }
            Rejection::Denied { refusal, .. } if speaks_grpc(refusal) => refusal.clone(),
            Rejection::Denied { reason, .. } => self.render(reason),
        }
    }
}

impl Render for Grpc {
    fn render(&self, denied: &Denied) -> Refusal {
        let code = GrpcCode::of(denied);
        let refusal = match denied {
            // In HTTP the challenge names it.
            Denied::InsufficientScope { required } => {
                let message = format!("{}: {required}", denied.description());
                trailers_only(code, &message)
            }
            _ => trailers_only(code, denied.description()),
        };
        match code {
            GrpcCode::Unavailable => {
                let pushback = defaults::RETRY_AFTER.as_millis().to_string();
                refusal.with_header("grpc-retry-pushback-ms", &pushback)
            }
            _ => refusal,
        }
    }
}

/// The [status codes](https://grpc.io/docs/guides/status-codes/) of gRPC that refusals have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcCode {
    /// `INVALID_ARGUMENT`, 3: the request is malformed.
    InvalidArgument,
    /// `PERMISSION_DENIED`, 7: the token is good, and not for this.
    PermissionDenied,
    /// `INTERNAL`, 13: the application is at fault.
    Internal,
    /// `UNAVAILABLE`, 14: the store does not answer, and the token may still be good.
    Unavailable,
    /// `UNAUTHENTICATED`, 16: there is no token, or none that is genuine and alive.
    Unauthenticated,
}

impl GrpcCode {
    /// The code of a denial.
    pub fn of(denied: &Denied) -> Self {
        match denied {
            Denied::Malformed(_) => Self::InvalidArgument,
            Denied::Missing | Denied::Invalid(_) | Denied::Revoked { .. } | Denied::Claims(_) => {
                Self::Unauthenticated
            }
            Denied::InsufficientScope { .. } | Denied::CrossOrigin(_) => Self::PermissionDenied,
            Denied::StoreUnavailable(_) => Self::Unavailable,
        }
    }

    /// The number that `grpc-status` holds.
    pub const fn number(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            Self::PermissionDenied => 7,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Unauthenticated => 16,
        }
    }
}

fn trailers_only(code: GrpcCode, message: &str) -> Refusal {
    let message = utf8_percent_encode(message, ENCODED).to_string();
    Refusal::new(200)
        .with_header("content-type", "application/grpc")
        .with_header("grpc-status", &code.number().to_string())
        .with_header("grpc-message", &message)
}

fn speaks_grpc(refusal: &Refusal) -> bool {
    refusal
        .headers
        .iter()
        .any(|(name, _)| *name == "grpc-status")
}

/// What `grpc-message` encodes: all but `%x20-%x24` and `%x26-%x7E`.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

#[cfg(test)]
mod tests {
    use crate::{store::StoreError, token::Scope};

    use super::*;

    fn header<'a>(refusal: &'a Refusal, name: &str) -> Option<&'a str> {
        let mut values = refusal.headers.iter().filter(|(own, _)| *own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    #[test]
    fn each_denial_has_the_status_that_its_http_status_stands_for() {
        let store = StoreError::Poisoned {
            store: "file".into(),
            reason: "a full disk".into(),
        };
        let required = Scope::parse("admin").unwrap();
        for (denied, http, code) in [
            (Denied::Malformed("two tokens"), 400, "3"),
            (Denied::Missing, 401, "16"),
            (Denied::Revoked { dimension: None }, 401, "16"),
            (Denied::InsufficientScope { required }, 403, "7"),
            (Denied::StoreUnavailable(store), 503, "14"),
        ] {
            assert_eq!(denied.status(), http);
            let refusal = Grpc::new().render(&denied);
            assert_eq!(refusal.status, 200);
            assert!(refusal.body.is_empty());
            assert_eq!(header(&refusal, "content-type"), Some("application/grpc"));
            assert_eq!(header(&refusal, "grpc-status"), Some(code), "{denied}");
            let message = header(&refusal, "grpc-message").unwrap();
            assert!(message.starts_with(denied.description()), "{message}");
            let pushback = header(&refusal, "grpc-retry-pushback-ms");
            assert_eq!(pushback, (code == "14").then_some("1000"), "{denied}");
        }
    }

    #[test]
    fn i8_a_message_is_percent_encoded() {
        let refusal = trailers_only(GrpcCode::Internal, "100% \u{e9}\r\ngrpc-status: 0~");
        let message = header(&refusal, "grpc-message");
        assert_eq!(message, Some("100%25 %C3%A9%0D%0Agrpc-status: 0~"));
    }

    #[test]
    fn a_scope_that_is_missing_is_named() {
        let required = Scope::parse("100% audit").unwrap();
        let refusal = Grpc::new().render(&Denied::InsufficientScope { required });
        let message = header(&refusal, "grpc-message").unwrap();
        assert!(message.ends_with(": 100%25 audit"), "{message}");
    }

    #[test]
    fn a_rejection_is_said_in_grpc_whatever_the_layer_speaks() {
        let json = Rejection::denied(Denied::Missing, &crate::wire::Json::new());
        let refusal = Grpc::new().rejected(&json);
        assert_eq!(header(&refusal, "grpc-status"), Some("16"));

        // Words of the application's own are kept.
        let own = |denied: &Denied| {
            trailers_only(GrpcCode::of(denied), "who are you?").with_header("x-own", "1")
        };
        let refusal = Grpc::new().rejected(&Rejection::denied(Denied::Missing, &own));
        assert_eq!(header(&refusal, "grpc-message"), Some("who are you?"));
        assert_eq!(header(&refusal, "x-own"), Some("1"));

        let missing = crate::wire::Caller::of(None, None).access().unwrap_err();
        let refusal = Grpc::new().rejected(&missing);
        assert_eq!(header(&refusal, "grpc-status"), Some("13"));
    }
}
