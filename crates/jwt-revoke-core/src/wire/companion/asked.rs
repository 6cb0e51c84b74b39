//! What a request says, as far as companion routes care.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::Reply;
use crate::wire::Field;

/// The head and the body of a request, as plain data.
///
/// The adapter bounds the body ([`MAX_BODY_BYTES`](crate::defaults::MAX_BODY_BYTES)) and answers
/// [`Reply::too_large`] beyond.
#[derive(Clone, Default)]
pub struct Asked<'a> {
    headers: Vec<(&'a str, &'a [u8])>,
    authority: Option<&'a [u8]>,
    body: &'a [u8],
}

impl<'a> Asked<'a> {
    /// A request with these headers, names in lower case, and this body.
    pub fn new(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, body: &'a [u8]) -> Self {
        let matters = |name: &str| READ.contains(&name);
        let headers = headers.into_iter().filter(|(name, _)| matters(name));
        Self {
            headers: headers.collect(),
            authority: None,
            body,
        }
    }

    /// With the authority of the request's target, where it has one: `:authority` of HTTP/2, which
    /// need not have a `Host` (RFC 9113 §8.3.1), or that of a target in absolute form.
    #[must_use]
    pub fn with_authority(self, authority: Option<&'a str>) -> Self {
        let authority = authority.map(str::as_bytes);
        Self { authority, ..self }
    }

    /// What tells the origin of the request.
    pub(super) fn values(&self, field: Field) -> impl Iterator<Item = &'a [u8]> {
        let (pseudo, name) = match field {
            Field::Authority => (self.authority, None),
            _ => (None, field.name()),
        };
        let named = self.headers.iter();
        let named = named.filter(move |(own, _)| name == Some(*own));
        pseudo.into_iter().chain(named.map(|(_, value)| *value))
    }

    /// The values of all fields of a name.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        debug_assert!(READ.contains(&name), "{name} is not read");
        let fields = self.headers.iter().filter(move |(own, _)| *own == name);
        fields.map(|(_, value)| *value)
    }

    /// The value of a field that may occur once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&'a [u8]>, Reply> {
        let mut values = self.all(name);
        let value = values.next();
        match values.next() {
            None => Ok(value),
            Some(_) => Err(Reply::malformed("a header occurs twice")),
        }
    }

    /// The refresh token in the body: `{"refresh_token": ".."}`, or `refreshToken` as apps in
    /// JavaScript write it. `None` when there is no body, or none in it. Members of other names are
    /// the client's own affair.
    pub(super) fn refresh_token(&self) -> Result<Option<String>, Reply> {
        if self.body.is_empty() {
            return Ok(None);
        }
        self.require_json()?;
        match serde_json::from_slice(self.body) {
            Ok(Body { refresh_token }) => Ok(refresh_token),
            // Not the parser's words: they quote the body.
            Err(_) => Err(Reply::malformed(
                "the body must be a JSON object with one refresh_token",
            )),
        }
    }
}

impl Asked<'_> {
    /// The current and the new password: `{"current_password": "..", "new_password": ".."}`, each once.
    pub(super) fn passwords(&self) -> Result<Passwords, Reply> {
        self.require_json()?;
        // Not the parser's words: they quote the body.
        let malformed = "the body must be a JSON object with current_password and new_password";
        let object = self.body.trim_ascii_start().first() == Some(&b'{');
        let passwords = serde_json::from_slice(self.body).ok().filter(|_| object);
        passwords.ok_or_else(|| Reply::malformed(malformed))
    }

    fn require_json(&self) -> Result<(), Reply> {
        // Not only for order's sake: a form of another site can send `text/plain` that reads as JSON.
        if self.one("content-type")?.is_some_and(is_json) {
            return Ok(());
        }
        let description = "the body must be application/json";
        Err(Reply::error(415, "invalid_request", description))
    }
}

/// What changes a password. Other members are the client's own affair; one that occurs twice is malformed.
#[derive(serde::Deserialize)]
pub(super) struct Passwords {
    #[serde(alias = "currentPassword")]
    pub(super) current_password: String,
    #[serde(alias = "newPassword")]
    pub(super) new_password: String,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").finish_non_exhaustive()
    }
}

/// Whether a media type is `application/json`, whatever its parameters (RFC 9110 §8.3.1).
fn is_json(media_type: &[u8]) -> bool {
    let essence = media_type.split(|b| *b == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

struct Body {
    refresh_token: Option<String>,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;

        // By hand: a derived one would take an array for an object.
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
                let mut token: Option<Option<String>> = None;
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        // Two of them, and two parts of a system could each read another one.
                        "refresh_token" | "refreshToken" if token.is_some() => {
                            return Err(de::Error::custom("two refresh tokens"));
                        }
                        "refresh_token" | "refreshToken" => token = Some(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let refresh_token = token.flatten();
                Ok(Body { refresh_token })
            }
        }

        deserializer.deserialize_map(BodyVisitor)
    }
}

/// The headers that are read.
const READ: [&str; 6] = [
    "content-type",
    "cookie",
    "host",
    "origin",
    "sec-fetch-site",
    "x-requested-with",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &'static str, body: &'static [u8]) -> Result<Option<String>, u16> {
        let asked = Asked::new([("content-type", media_type.as_bytes())], body);
        asked.refresh_token().map_err(|reply| reply.status)
    }

    #[test]
    fn both_spellings_are_read_and_other_members_are_not() {
        for body in [
            r#"{"refresh_token":"t"}"#,
            r#"{"refreshToken":"t"}"#,
            r#" {"device":{"a":[1,null]},"refresh_token":"\u0074","x":1} "#,
        ] {
            let token = read("application/json", body.as_bytes());
            assert_eq!(token, Ok(Some("t".to_owned())), "{body}");
        }
        for body in ["", "{}", r#"{"refresh_token":null}"#, r#"{"token":"t"}"#] {
            assert_eq!(
                read("application/json", body.as_bytes()),
                Ok(None),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_not_one_object_with_one_token_is_malformed() {
        for body in [
            &br#"{"refresh_token":"t","refresh_token":"t"}"#[..],
            br#"{"refresh_token":"t","refreshToken":"u"}"#,
            br#"{"refresh_token":null,"refreshToken":"u"}"#,
            br#"{"refresh_token":7}"#,
            br#"{"refresh_token":["t"]}"#,
            br#"["t"]"#,
            br#""t""#,
            b"null",
            b" ",
            br#"{"refresh_token":"t"}{}"#,
            br#"{"refresh_token":"t""#,
            b"refresh_token=t",
            b"{\"refresh_token\":\"\xff\"}",
        ] {
            assert_eq!(read("application/json", body), Err(400), "{body:?}");
        }
        let deep: &'static [u8] = [b"{\"x\":".as_slice(), &b"[".repeat(10_000)]
            .concat()
            .leak();
        assert_eq!(read("application/json", deep), Err(400));
    }

    #[test]
    fn passwords_are_two_texts_in_one_object() {
        let json = |body: &'static str| {
            let asked = Asked::new(
                [("content-type", &b"application/json"[..])],
                body.as_bytes(),
            );
            asked.passwords().map_err(|reply| reply.status)
        };
        for body in [
            r#"{"current_password":"a","new_password":"b"}"#,
            r#" {"newPassword":"b","device":{},"currentPassword":"a"}"#,
        ] {
            let passwords = json(body).unwrap_or_else(|status| panic!("{status}: {body}"));
            assert_eq!(passwords.current_password, "a");
            assert_eq!(passwords.new_password, "b");
        }
        for body in [
            "",
            "{}",
            r#"["a","b"]"#,
            r#"{"current_password":"a"}"#,
            r#"{"current_password":"a","new_password":null}"#,
            r#"{"current_password":"a","new_password":"b","new_password":"c"}"#,
            r#"{"current_password":"a","new_password":"b","newPassword":"c"}"#,
        ] {
            assert_eq!(json(body).err(), Some(400), "{body}");
        }
        let plain = Asked::new([("content-type", &b"text/plain"[..])], b"{}");
        assert_eq!(plain.passwords().err().map(|reply| reply.status), Some(415));
    }

    #[test]
    fn a_body_of_another_type_is_refused_as_such() {
        let body = br#"{"refresh_token":"t"}"#;
        for media_type in ["Application/JSON", "application/json; charset=utf-8"] {
            assert!(read(media_type, body).is_ok(), "{media_type}");
        }
        for media_type in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "text/plain; application/json",
        ] {
            assert_eq!(read(media_type, body), Err(415), "{media_type}");
        }
        let bare = Asked::new([], body);
        assert_eq!(bare.refresh_token().unwrap_err().status, 415);
        let twice = [("content-type", &b"application/json"[..]); 2];
        let twice = Asked::new(twice, body);
        assert_eq!(twice.refresh_token().unwrap_err().status, 400);
    }
}
