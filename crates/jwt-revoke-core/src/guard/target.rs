//! What to revoke.

use crate::{
    clock::Timestamp,
    guard::Access,
    revocation::{ClaimName, Dimension},
    token::{ClaimValue, Subject},
};

/// What [`Guard::revoke`](crate::Guard::revoke) takes back.
///
/// ```
/// use jwt_revoke_core::guard::Target;
///
/// let ban = Target::subject("alice").because("chargeback").by("support:bob");
/// let device = Target::session("018bcfe5-68fb-7000-a000-000000000000").of("alice");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a target does nothing until it is given to a guard"]
pub struct Target {
    pub(super) what: What,
    pub(super) subject: Option<Subject>,
    pub(super) issuer: Option<Box<str>>,
    pub(super) instant: Option<Timestamp>,
    pub(super) cause: Option<Box<str>>,
    pub(super) actor: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// The `jti` of this token.
    Token(Access),
    /// The session of this token, or the token itself when it has none.
    Logout(Access),
    /// A value in a dimension.
    Value(Dimension, Box<str>),
    /// A claim of the application, which the verifier must name.
    Claim(Box<str>, ClaimValue),
    /// The issuer itself.
    Issuer,
}

impl Target {
    /// This one token, by its `jti`; others of its session live on.
    pub fn token(access: &Access) -> Self {
        Self::new(What::Token(access.clone()))
    }

    /// What a logout ends: the token's session with all its tokens, or the one token when it
    /// belongs to no session.
    pub fn logout(access: &Access) -> Self {
        Self::new(What::Logout(access.clone()))
    }

    /// One token, by its `jti`. Say whose it is with [`of`](Self::of) if you know.
    pub fn jti(jti: impl Into<Box<str>>) -> Self {
        Self::value(Dimension::Jti, jti)
    }

    /// One session, by its `sid`. Say whose it is with [`of`](Self::of) if you know.
    pub fn session(sid: impl Into<Box<str>>) -> Self {
        Self::value(Dimension::Session, sid)
    }

    /// Everything a user holds up to now: log out everywhere, password reset, ban. For services that
    /// check tokens of another issuer. Where [`Sessions`](crate::session::Sessions) issue the tokens use
    /// [`Sessions::revoke_all`](crate::session::Sessions::revoke_all): it does the same, reports it, and
    /// tells whether the user had any session. Here a mistyped user succeeds like any other.
    #[doc(alias = "nuclear")]
    #[doc(alias = "revoke_all")]
    pub fn subject(subject: impl Into<Box<str>>) -> Self {
        Self::value(Dimension::Subject, subject)
    }

    /// Everything that was issued to an OAuth client up to now.
    pub fn client(client: impl Into<Box<str>>) -> Self {
        Self::value(Dimension::Client, client)
    }

    /// Everything that was signed with a key, for ever. Also remove the key from the verifier: the
    /// entry lasts as long as the longest session, and whoever holds the key can sign on.
    pub fn key(kid: impl Into<Box<str>>) -> Self {
        Self::value(Dimension::Key, kid)
    }

    /// Everything the issuer issued up to now: everyone logs in again.
    pub fn issuer() -> Self {
        Self::new(What::Issuer)
    }

    /// Every token that carries `value` in the claim `name`, up to now. The verifier must name the
    /// claim as a dimension.
    pub fn claim(name: &ClaimName, value: impl Into<ClaimValue>) -> Self {
        Self::new(What::Claim(name.as_str().into(), value.into()))
    }

    /// Whose token or session it is. Without it, the entry must be written to every shard.
    pub fn of(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// At which issuer. The default is the verifier's, and where that accepts one issuer only it is the
    /// only one there is: [`RevokeError::UnknownIssuer`](crate::guard::RevokeError::UnknownIssuer).
    pub fn issued_by(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Up to this instant instead of now: the instant of an event that another issuer reported, on
    /// its clock. Does not apply to a token, a session or a key, which are revoked for ever.
    pub fn up_to(mut self, instant: Timestamp) -> Self {
        self.instant = Some(instant);
        self
    }

    /// Why, for the audit stream.
    pub fn because(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Who asks for it, for the audit stream.
    pub fn by(mut self, actor: impl Into<Box<str>>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    fn value(dimension: Dimension, value: impl Into<Box<str>>) -> Self {
        Self::new(What::Value(dimension, value.into()))
    }

    fn new(what: What) -> Self {
        Self {
            what,
            subject: None,
            issuer: None,
            instant: None,
            cause: None,
            actor: None,
        }
    }
}
