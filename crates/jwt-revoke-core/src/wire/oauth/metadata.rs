//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use serde::Serialize;

use super::{Endpoint, OAuth, Reply};

/// The document by which clients find the endpoints (RFC 8414), and where it belongs.
#[derive(Clone, Debug)]
#[must_use]
pub struct Metadata {
    path: Box<str>,
    document: Box<str>,
}

impl OAuth {
    /// The document for endpoints that clients reach at the issuer's URL followed by `prefix`, such as
    /// `/auth`.
    ///
    /// It names what there is to use: no endpoint that was left out, and no introspection without
    /// anybody who may ask. `response_types_supported` is required and empty, since there is no
    /// authorization endpoint.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] when the issuer's name is no URL to find a document by, or the prefix none
    /// to append to it.
    pub fn metadata(&self, prefix: &str) -> Result<Metadata, MetadataError> {
        let issuer = self.sessions.issuer().name();
        let issuer_path = issuer_path(issuer).ok_or(MetadataError::Issuer)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !is_path(prefix) {
            return Err(MetadataError::Prefix);
        }
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = |endpoint: Endpoint| format!("{base}{prefix}{}", endpoint.path());
        let served = |endpoint| self.serves(endpoint).then(|| url(endpoint));
        let clients = self.client_methods();
        let callers = self.introspection_methods();
        let token = self.serves(Endpoint::Token);
        let revoke = self.serves(Endpoint::Revoke);
        let introspect = self.serves(Endpoint::Introspect) && !callers.is_empty();
        let document = Document {
            issuer,
            token_endpoint: served(Endpoint::Token),
            jwks_uri: served(Endpoint::Jwks),
            response_types_supported: [],
            grant_types_supported: if token { &["refresh_token"] } else { &[] },
            token_endpoint_auth_methods_supported: token.then_some(&*clients),
            revocation_endpoint: served(Endpoint::Revoke),
            revocation_endpoint_auth_methods_supported: revoke.then_some(&*clients),
            introspection_endpoint: introspect.then(|| url(Endpoint::Introspect)),
            introspection_endpoint_auth_methods_supported: introspect.then_some(&*callers),
        };
        let document = serde_json::to_string(&document).map_err(|_| MetadataError::Issuer)?;
        Ok(Metadata {
            path: format!("{WELL_KNOWN}{issuer_path}").into(),
            document: document.into(),
        })
    }

    fn client_methods(&self) -> Vec<&'static str> {
        let mut methods = Vec::new();
        if self.clients.iter().any(|client| !client.is_confidential()) {
            methods.push("none");
        }
        methods.extend(self.secret_methods());
        methods
    }

    fn introspection_methods(&self) -> Vec<&'static str> {
        let mut methods = self.secret_methods().to_vec();
        if self.introspection_scope.is_some() {
            methods.push("Bearer");
        }
        methods
    }

    fn secret_methods(&self) -> &'static [&'static str] {
        if self.clients.iter().any(super::Client::is_confidential) {
            &["client_secret_basic", "client_secret_post"]
        } else {
            &[]
        }
    }
}

impl Metadata {
    /// Where the document is, on the host of the issuer: the path of the issuer's URL comes last
    /// (RFC 8414 §3).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `GET` of [`path`](Self::path).
    pub fn reply(&self) -> Reply {
        Reply::document(self.document.as_bytes())
    }
}

/// There is no metadata document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The issuer's name is no such URL (RFC 8414 §2). Only a loopback host may do without TLS.
    #[error("the issuer's name is not an https url without query and fragment")]
    Issuer,
    /// The prefix is not empty and does not begin with a slash, or is not made of plain segments.
    #[error("the prefix is not a path such as \"/auth\"")]
    Prefix,
}

/// RFC 8414 §2.
#[derive(Serialize)]
struct Document<'a> {
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    response_types_supported: [&'a str; 0],
    grant_types_supported: &'a [&'a str],
    #[serde(skip_serializing_if = "is_none_or_empty")]
    token_endpoint_auth_methods_supported: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "is_none_or_empty")]
    revocation_endpoint_auth_methods_supported: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint_auth_methods_supported: Option<&'a [&'a str]>,
}

/// "Claims with zero elements MUST be omitted from the response" (RFC 8414 §3.2).
fn is_none_or_empty(list: &Option<&[&str]>) -> bool {
    list.is_none_or(<[_]>::is_empty)
}

/// The path of an issuer's URL without its last slash, or `None` if it is no URL that RFC 8414 allows.
fn issuer_path(issuer: &str) -> Option<&str> {
    let (secure, rest) = match issuer.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, issuer.strip_prefix("http://")?),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.strip_suffix('/').unwrap_or(path);
    let good = is_authority(authority) && is_path(path) && (secure || is_loopback(authority));
    good.then_some(path)
}

fn is_authority(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

/// Whether a text is empty or made of segments that a router takes literally.
fn is_path(text: &str) -> bool {
    let good = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    match text.strip_prefix('/') {
        Some(segments) => segments.split('/').all(good),
        None => text.is_empty(),
    }
}

const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuers_path_is_what_comes_after_the_host() {
        for (issuer, path) in [
            ("https://auth.example.com", ""),
            ("https://auth.example.com/", ""),
            ("https://auth.example.com:8443/tenant-1/x", "/tenant-1/x"),
            ("https://auth.example.com/tenant/", "/tenant"),
            ("http://127.0.0.1:3000", ""),
            ("http://[::1]:3000/a", "/a"),
            ("http://localhost", ""),
        ] {
            assert_eq!(issuer_path(issuer), Some(path), "{issuer}");
        }
    }

    #[test]
    fn an_issuer_that_clients_could_not_ask_is_refused() {
        for issuer in [
            "",
            "auth",
            "auth.example.com",
            "https://",
            "https:///x",
            "ftp://a",
            "HTTPS://a",
            "http://auth.example.com",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.1@evil.example",
            "https://a?x",
            "https://a#x",
            "https://a/x?y",
            "https://a/{x}",
            "https://a//x",
            "https://a/*x",
            "https://a b",
            "https://a/\n",
        ] {
            assert_eq!(issuer_path(issuer), None, "{issuer:?}");
        }
    }
}
