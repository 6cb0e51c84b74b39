//! What a token says: claims, identifiers, kinds, and the `Bearer` syntax.

mod bearer;
mod claims;
mod ids;
mod kind;
mod value;

pub(crate) use self::bearer::is_b64token;
pub use self::{
    bearer::{BearerError, bearer},
    claims::{InvalidScope, Registered, Scope},
    ids::{ClientId, Jti, KeyId, SessionId, Subject},
    kind::TokenKind,
    value::{ClaimValue, Decimal, InvalidDecimal},
};
