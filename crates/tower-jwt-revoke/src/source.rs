//! Where tokens are looked for.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{HeaderMap, HeaderName, header, request::Parts};
use jwt_revoke_core::{Denied, wire::Offered};

/// A place in a request where a token may stand.
#[derive(Clone)]
pub(crate) enum Source {
    /// `Authorization: Bearer ..`.
    Header,
    /// The cookie of this name.
    Cookie(Arc<str>),
    /// Wherever the application looks.
    Function(Arc<Find>),
}

type Find = dyn for<'a> Fn(&'a Parts) -> Option<Cow<'a, str>> + Send + Sync;

impl Source {
    /// The one token that a request offers in all of these places.
    pub(crate) fn token<'a>(sources: &[Self], request: &'a Parts) -> Result<Cow<'a, str>, Denied> {
        let mut offered = Offered::new();
        for source in sources {
            match source {
                Self::Header => offered.authorization(values(request, header::AUTHORIZATION)),
                Self::Cookie(name) => offered.cookies(name, values(request, header::COOKIE)),
                Self::Function(find) => {
                    if let Some(token) = find(request) {
                        offered.token(token);
                    }
                }
            }
        }
        offered.decide()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("Header"),
            Self::Cookie(name) => f.debug_tuple("Cookie").field(name).finish(),
            Self::Function(_) => f.debug_tuple("Function").finish_non_exhaustive(),
        }
    }
}

fn values(request: &Parts, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let headers: &HeaderMap = &request.headers;
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.as_bytes())
}
