//! The header of a token. It says which key to look for, and decides nothing.

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::{
    defaults,
    token::KeyId,
    verify::{
        Algorithm, VerifyError,
        json::{Names, Skipped, Text},
    },
};

/// What matters of a JOSE header (RFC 7515 §4). `jwk`, `jku`, `x5c` and `x5u` offer a key from the
/// token itself: they are skipped like any unknown member, and nothing is ever fetched.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) alg: Cow<'a, str>,
    pub(super) typ: Option<Cow<'a, str>>,
    pub(super) kid: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    /// Reads the JSON of a header.
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, VerifyError> {
        let json = std::str::from_utf8(json).map_err(|_| VerifyError::MalformedHeader)?;
        if !fits(json) {
            return Err(VerifyError::MalformedHeader);
        }
        let mut fault = VerifyError::MalformedHeader;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let header = HeaderSeed { fault: &mut fault }.deserialize(&mut deserializer);
        match header.and_then(|header| deserializer.end().map(|()| header)) {
            Ok(header) => Ok(header),
            Err(_) => Err(fault),
        }
    }
}

/// Reads a header, and says in `fault` what is wrong with it if it is more than its shape.
struct HeaderSeed<'f> {
    fault: &'f mut VerifyError,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Header<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
        let mut names = Names::default();
        let (mut alg, mut typ, mut kid) = (None, None, None);
        while let Some(Text(name)) = map.next_key()? {
            if !names.admit(name.clone()) {
                *self.fault = VerifyError::DuplicateHeader;
                return Err(de::Error::custom("duplicate member"));
            }
            if names.len() > defaults::MAX_HEADER_MEMBERS {
                return Err(de::Error::custom("too many members"));
            }
            match &*name {
                "alg" => alg = Some(map.next_value::<Text<'_>>()?.0),
                "typ" => typ = Some(map.next_value::<Text<'_>>()?.0),
                "kid" => {
                    let text: Text<'_> = map.next_value()?;
                    if !text.is_id() {
                        return Err(de::Error::custom("not a key id"));
                    }
                    kid = Some(text.0);
                }
                other => {
                    if let Some(unsupported) = UNSUPPORTED.into_iter().find(|name| *name == other) {
                        *self.fault = VerifyError::UnsupportedHeader(unsupported);
                        return Err(de::Error::custom("unsupported member"));
                    }
                    map.next_value::<Skipped>()?;
                }
            }
        }
        let alg = alg.ok_or_else(|| de::Error::missing_field("alg"))?;
        Ok(Header { alg, typ, kid })
    }
}

/// The JSON of a header as it is signed here.
pub(super) fn write(alg: Algorithm, typ: &str, kid: &KeyId) -> String {
    let (typ, kid) = (Value::from(typ), Value::from(kid.as_str()));
    format!(r#"{{"alg":"{alg}","typ":{typ},"kid":{kid}}}"#)
}

/// Whether a verifier would look at this header.
pub(super) fn fits(json: &str) -> bool {
    json.len() <= defaults::MAX_HEADER_BYTES
}

/// `crit`, because no extension is understood here and an empty list is not allowed (RFC 7515
/// §4.1.11); the others, because whoever heeds them reads another payload than whoever does not.
const UNSUPPORTED: [&str; 4] = ["crit", "b64", "zip", "enc"];

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Option<VerifyError> {
        Header::parse(json.as_bytes()).err()
    }

    #[test]
    fn t3_members_that_change_the_reading_are_refused_whatever_they_say() {
        for (member, name) in [
            (r#""crit":["exp"]"#, "crit"),
            (r#""crit":[]"#, "crit"),
            (r#""crit":null"#, "crit"),
            (r#""cr\u0069t":["exp"]"#, "crit"),
            (r#""b64":false"#, "b64"),
            (r#""b64":true"#, "b64"),
            (r#""zip":"DEF""#, "zip"),
            (r#""enc":"A128GCM""#, "enc"),
        ] {
            assert_eq!(
                fault(&format!(r#"{{"alg":"HS256",{member}}}"#)),
                Some(VerifyError::UnsupportedHeader(name)),
                "{member}"
            );
        }
    }

    #[test]
    fn t2_a_key_offered_by_the_token_is_skipped() {
        let header = Header::parse(
            br#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"},"jku":"https://evil.example/jwks",
                "x5u":"file:///etc/passwd","x5c":["AA"],"kid":"../../dev/null"}"#,
        )
        .unwrap();
        assert_eq!(header.kid.as_deref(), Some("../../dev/null"));
    }

    #[test]
    fn t2_a_kid_is_a_text_of_bounded_length() {
        for kid in ["null", "7", "[]", "{}", "true", "\"\""] {
            let json = format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
            assert_eq!(fault(&json), Some(VerifyError::MalformedHeader), "{kid}");
        }
        let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(1025));
        assert_eq!(fault(&long), Some(VerifyError::MalformedHeader));
    }

    #[test]
    fn t5_a_member_occurs_once_however_it_is_spelt() {
        for json in [
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","\u0061lg":"none"}"#,
            r#"{"alg":"HS256","x":1,"x":1}"#,
        ] {
            assert_eq!(fault(json), Some(VerifyError::DuplicateHeader), "{json}");
        }
    }

    #[test]
    fn t9_other_json_is_no_header() {
        let many: String = (0..40).map(|n| format!(r#","m{n}":1"#)).collect();
        let deep = format!(
            r#"{{"alg":"HS256","x":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        for json in [
            "",
            "null",
            "[]",
            "\"HS256\"",
            "{}",
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","typ":1}"#,
            r#"{"alg":"HS256""#,
            r#"{"alg":"HS256"}x"#,
            &format!(r#"{{"alg":"HS256"{many}}}"#),
            &deep,
            &format!(r#"{{"alg":"HS256","x":"{}"}}"#, "x".repeat(2048)),
        ] {
            assert_eq!(fault(json), Some(VerifyError::MalformedHeader), "{json}");
        }
        assert!(Header::parse(b"{\"alg\":\"\xff\"}").is_err());
    }
}
