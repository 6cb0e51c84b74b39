//! What kind of token a `typ` header declares.

/// The kind of a JWT, from its `typ` header (RFC 7515 §4.1.9, RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// An access token: `at+jwt` (RFC 9068 §2.1).
    Access,
    /// A refresh token of ours: `rt+jwt`.
    Refresh,
}

impl TokenKind {
    /// The `typ` we write.
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "rt+jwt",
        }
    }

    /// Whether `typ` declares this kind, in any case and with or without the `application/`
    /// prefix (RFC 7515 §4.1.9).
    pub fn is_declared_by(self, typ: &str) -> bool {
        const PREFIX: &str = "application/";
        let bare = match typ.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
            _ => typ,
        };
        bare.eq_ignore_ascii_case(self.typ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_recognised_in_any_case_and_with_its_media_type_prefix() {
        for typ in [
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/At+Jwt",
        ] {
            assert!(TokenKind::Access.is_declared_by(typ), "{typ}");
            assert!(!TokenKind::Refresh.is_declared_by(typ), "{typ}");
        }
        for typ in [
            "",
            "jwt",
            "at+jwt ",
            "application/application/at+jwt",
            "logout+jwt",
            "é",
        ] {
            assert!(!TokenKind::Access.is_declared_by(typ), "{typ}");
        }
    }
}
