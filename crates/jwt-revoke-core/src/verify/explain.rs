//! Why a token that may well be genuine was refused, for an operator who looks for the setting.

use std::fmt::Write as _;

use crate::verify::{
    Verifier, VerifyError,
    claims::RawClaims,
    compact::{self, Compact},
    header::Header,
};

/// What a refused token says where it differs from the configuration, what the configuration asks for,
/// and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// From the token, cut short. A forger may have written anything there.
    pub(crate) found: Option<String>,
    pub(crate) expected: Option<String>,
    pub(crate) advice: &'static str,
}

impl VerifyError {
    /// What to do if the fault is in a setting; `None` if it is the client's, such as an expired token.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnsupportedAlgorithm => {
                "have the issuer sign with one of the algorithms of `verify::Algorithm`"
            }
            Self::AlgorithmMismatch { .. } => {
                "pin the key to the algorithm that the issuer signs with (`KeySet::from_jwks_for` where \
                 its keys do not name it)"
            }
            Self::UnknownKey => {
                "fetch the issuer's key set again and hand it to `Verifier::replace_keys`, or find out who \
                 else signs these tokens"
            }
            Self::BadSignature => {
                "compare this key with the issuer's, if these tokens are not forged"
            }
            Self::Untyped => {
                "have the issuer send the type, or call `Verifier::allow_untyped` if the audience tells \
                 its tokens apart"
            }
            Self::OtherType => "have clients send the right kind of token",
            Self::MissingClaim(_) => {
                "have the issuer send the claim, or call the `Verifier::allow_missing_..` that lifts it"
            }
            Self::InvalidClaim(_) | Self::InvalidDimension(_) => {
                "have the issuer send the claim in the form that the documentation of the error asks for"
            }
            Self::OtherIssuer => {
                "compare the verifier's issuer with the tokens' `iss`, to the letter"
            }
            Self::OtherAudience => {
                "have the issuer name this audience, or add the one it names by \
                 `Verifier::with_audience` if the tokens are meant for this service"
            }
            Self::NotYetValid | Self::IssuedInFuture | Self::BornInFuture => {
                "compare the clocks of this host and of the issuer (NTP)"
            }
            Self::LivesTooLong => {
                "have the issuer shorten the lifetime, or raise `Verifier::with_max_lifetime`"
            }
            Self::UnknownBirth => {
                "verify tokens of another issuer with `BornAt::IssuedAt`, which is the default"
            }
            Self::TooLong
            | Self::NotCompact
            | Self::MalformedHeader
            | Self::DuplicateHeader
            | Self::UnsupportedHeader(_)
            | Self::MalformedClaims
            | Self::DuplicateClaim
            | Self::Expired => return None,
        })
    }
}

impl Verifier {
    /// Looks once more at a token that was refused with `error`. Costs about a verification.
    pub(crate) fn explain(&self, token: &str, error: &VerifyError) -> Option<Explained> {
        let advice = error.advice()?;
        let keys = self.keys();
        let expected = match error {
            VerifyError::UnknownKey => Some(few(keys.ids())),
            VerifyError::UnsupportedAlgorithm => Some(few(keys.algorithms())),
            VerifyError::AlgorithmMismatch { expected } => Some(expected.to_string()),
            VerifyError::Untyped | VerifyError::OtherType => {
                Some(few(self.rules.kinds.iter().map(|kind| kind.typ())))
            }
            VerifyError::OtherIssuer => self.issuer().map(str::to_owned),
            VerifyError::OtherAudience => self.rules.audiences.as_ref().map(few),
            VerifyError::LivesTooLong => Some(format!("at most {:?}", self.max_lifetime())),
            _ => None,
        };
        Some(Explained {
            found: found(token, error).map(|text| cut_short(&text)),
            expected,
            advice,
        })
    }
}

/// What the token says in the respect in which it was refused.
fn found(token: &str, error: &VerifyError) -> Option<String> {
    let parts = Compact::split(token).ok()?;
    let header = compact::decode(parts.header).ok()?;
    let header = Header::parse(&header).ok()?;
    let payload = compact::decode(parts.payload).ok()?;
    // Where it is asked for claims the signature was found to hold.
    let claims = || RawClaims::parse(&payload, &[]).ok();
    match error {
        VerifyError::UnknownKey | VerifyError::BadSignature => Some(match header.kid {
            Some(kid) => kid.into_owned(),
            None => format!("no kid, alg {}", header.alg),
        }),
        VerifyError::UnsupportedAlgorithm | VerifyError::AlgorithmMismatch { .. } => {
            Some(header.alg.into_owned())
        }
        VerifyError::Untyped | VerifyError::OtherType => Some(
            header
                .typ
                .map_or_else(|| "no typ".to_owned(), |typ| typ.into_owned()),
        ),
        VerifyError::OtherIssuer => Some(claims()?.iss?.into_owned()),
        VerifyError::OtherAudience => Some(few(claims()?.aud?.iter().map(|text| &text.0))),
        VerifyError::LivesTooLong => {
            let claims = claims()?;
            let expires_at = claims.exp?.second_after();
            let from = claims.iat?.millisecond_before();
            Some(format!("{:?}", expires_at.saturating_since(from)))
        }
        _ => None,
    }
}

/// The first few of a list, and how many more there are.
fn few<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let mut text = String::new();
    for item in items.by_ref().take(SHOWN) {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{item}");
    }
    match items.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn cut_short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many items of a list, and characters of a token's text, a line of the log shows.
const SHOWN: usize = 4;
const LONGEST: usize = 100;
