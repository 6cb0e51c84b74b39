//! What a token says: claims, identifiers, kinds, and the `Bearer` syntax.

mod bearer;
mod claims;
mod ids;
mod kind;

pub(crate) use self::bearer::is_b64token;
pub use self::{
    bearer::{BearerError, bearer},
    claims::{ClaimValue, InvalidScope, Registered, Scope},
    ids::{ClientId, Jti, KeyId, SessionId, Subject},
    kind::TokenKind,
};
