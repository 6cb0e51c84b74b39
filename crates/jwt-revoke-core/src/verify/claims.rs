//! The claims of a token, read in one pass: shape and types, no judgement.

use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::{
    defaults,
    revocation::ClaimName,
    verify::{
        VerifyError,
        json::{Names, NumericDate, Skipped, Text, Texts},
    },
};

/// The claims that have a meaning here, borrowed from the payload. Each has its right type, and
/// each identifier is neither empty nor too long.
#[derive(Default)]
pub(super) struct RawClaims<'a> {
    pub(super) iss: Option<Cow<'a, str>>,
    pub(super) sub: Option<Cow<'a, str>>,
    pub(super) aud: Option<SmallVec<[Text<'a>; 2]>>,
    pub(super) exp: Option<NumericDate>,
    pub(super) nbf: Option<NumericDate>,
    pub(super) iat: Option<NumericDate>,
    pub(super) jti: Option<Cow<'a, str>>,
    pub(super) sid: Option<Cow<'a, str>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) azp: Option<Cow<'a, str>>,
    pub(super) scope: Option<Cow<'a, str>>,
    /// A claim that access tokens do not have: the token is an ID token (OpenID Connect Core 1.0
    /// §3.1.3.6, §3.3.2.11) or a security event, such as a logout token (RFC 8417 §2.2).
    pub(super) tells_other_type: bool,
    /// The claims that are revocation dimensions, by their place in the verifier's list.
    pub(super) dimensions: SmallVec<[(usize, &'a RawValue); 2]>,
}

impl<'a> RawClaims<'a> {
    /// Reads the payload of a token whose signature holds.
    ///
    /// Members of nested objects may repeat: they have no meaning here.
    pub(super) fn parse(payload: &'a [u8], dimensions: &[ClaimName]) -> Result<Self, VerifyError> {
        let json = std::str::from_utf8(payload).map_err(|_| VerifyError::MalformedClaims)?;
        let mut fault = VerifyError::MalformedClaims;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let seed = ClaimsSeed {
            dimensions,
            fault: &mut fault,
        };
        let claims = seed.deserialize(&mut deserializer);
        match claims.and_then(|claims| deserializer.end().map(|()| claims)) {
            Ok(claims) => Ok(claims),
            Err(_) => Err(fault),
        }
    }
}

/// Reads claims, and says in `fault` which of them is wrong.
struct ClaimsSeed<'f, 'n> {
    dimensions: &'n [ClaimName],
    fault: &'f mut VerifyError,
}

impl<'de> DeserializeSeed<'de> for ClaimsSeed<'_, '_> {
    type Value = RawClaims<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ClaimsSeed<'_, '_> {
    type Value = RawClaims<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWT claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawClaims<'de>, A::Error> {
        let mut names = Names::default();
        let mut claims = RawClaims::default();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "iss" => claims.iss = Some(id(&mut map, "iss", self.fault)?),
                "sub" => claims.sub = Some(id(&mut map, "sub", self.fault)?),
                "aud" => {
                    let Texts(aud) = value(&mut map, "aud", self.fault)?;
                    if aud.is_empty() || !aud.iter().all(Text::is_id) {
                        *self.fault = VerifyError::InvalidClaim("aud");
                        return Err(de::Error::custom("not an audience"));
                    }
                    claims.aud = Some(aud);
                }
                "exp" => claims.exp = Some(value(&mut map, "exp", self.fault)?),
                "nbf" => claims.nbf = Some(value(&mut map, "nbf", self.fault)?),
                "iat" => claims.iat = Some(value(&mut map, "iat", self.fault)?),
                "jti" => claims.jti = Some(id(&mut map, "jti", self.fault)?),
                "sid" => claims.sid = Some(id(&mut map, "sid", self.fault)?),
                "client_id" => claims.client_id = Some(id(&mut map, "client_id", self.fault)?),
                "azp" => claims.azp = Some(id(&mut map, "azp", self.fault)?),
                other => {
                    claims.tells_other_type |= OTHER_TYPES.contains(&other);
                    let scope = other == "scope";
                    if let Some(index) = self.dimensions.iter().position(|d| d.as_str() == other) {
                        let raw: &RawValue = map.next_value()?;
                        claims.dimensions.push((index, raw));
                        if scope {
                            let text = serde_json::from_str::<Text<'_>>(raw.get());
                            claims.scope = Some(text.map_err(de::Error::custom)?.0);
                        }
                    } else if scope {
                        claims.scope = Some(value::<Text<'_>, A>(&mut map, "scope", self.fault)?.0);
                    } else {
                        map.next_value::<Skipped>()?;
                    }
                }
            }
            if !names.admit(name) {
                *self.fault = VerifyError::DuplicateClaim;
                return Err(de::Error::custom("duplicate claim"));
            }
            if names.len() > defaults::MAX_CLAIMS {
                return Err(de::Error::custom("too many claims"));
            }
        }
        Ok(claims)
    }
}

/// The value of the claim `name`; what is wrong with it goes to `fault`.
fn value<'de, V: de::Deserialize<'de>, A: MapAccess<'de>>(
    map: &mut A,
    name: &'static str,
    fault: &mut VerifyError,
) -> Result<V, A::Error> {
    map.next_value().inspect_err(|_| {
        *fault = VerifyError::InvalidClaim(name);
    })
}

/// The same, for an identifier.
fn id<'de, A: MapAccess<'de>>(
    map: &mut A,
    name: &'static str,
    fault: &mut VerifyError,
) -> Result<Cow<'de, str>, A::Error> {
    let text: Text<'de> = value(map, name, fault)?;
    if !text.is_id() {
        *fault = VerifyError::InvalidClaim(name);
        return Err(de::Error::custom("not an identifier"));
    }
    Ok(text.0)
}

const OTHER_TYPES: [&str; 3] = ["events", "at_hash", "c_hash"];

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Option<VerifyError> {
        RawClaims::parse(json.as_bytes(), &[]).err()
    }

    #[test]
    fn t5_a_claim_of_the_wrong_type_is_refused_even_where_it_is_optional() {
        let ids = ["iss", "sub", "jti", "sid", "client_id", "azp"];
        for name in ids {
            for wrong in ["null", "1", "{}", "[]", "[\"x\"]", "true", "\"\""] {
                let json = format!(r#"{{"{name}":{wrong}}}"#);
                assert_eq!(
                    fault(&json),
                    Some(VerifyError::InvalidClaim(name)),
                    "{json}"
                );
            }
        }
        for name in ["exp", "nbf", "iat"] {
            for wrong in ["null", "\"1\"", "{}", "[1]", "true", "-1", "1e19"] {
                let json = format!(r#"{{"{name}":{wrong}}}"#);
                assert_eq!(
                    fault(&json),
                    Some(VerifyError::InvalidClaim(name)),
                    "{json}"
                );
            }
        }
        let seventeen = format!("[{}]", vec!["\"a\""; 17].join(","));
        for wrong in [
            "null",
            "1",
            "{}",
            "[]",
            "\"\"",
            "[\"a\",1]",
            "[\"a\",null]",
            "[\"a\",\"\"]",
            "[[\"a\"]]",
            &seventeen,
        ] {
            let json = format!(r#"{{"aud":{wrong}}}"#);
            assert_eq!(
                fault(&json),
                Some(VerifyError::InvalidClaim("aud")),
                "{json}"
            );
        }
        assert_eq!(
            fault(r#"{"scope":["a"]}"#),
            Some(VerifyError::InvalidClaim("scope"))
        );
    }

    #[test]
    fn t5_a_claim_occurs_once_however_it_is_spelt() {
        for json in [
            r#"{"sub":"a","sub":"a"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"x":1,"x":2}"#,
        ] {
            assert_eq!(fault(json), Some(VerifyError::DuplicateClaim), "{json}");
        }
    }

    #[test]
    fn t5_only_an_object_is_a_claims_set() {
        for json in [
            "", "[]", "null", "1", "\"{}\"", "{", "{}{}", "{} x", "{\"a\"}",
        ] {
            assert_eq!(fault(json), Some(VerifyError::MalformedClaims), "{json}");
        }
        assert!(RawClaims::parse(b"{\"x\":\"\xff\"}", &[]).is_err());
        assert_eq!(fault("{}"), None);
    }

    #[test]
    fn t9_claims_are_bounded_in_number_and_depth() {
        let many: Vec<_> = (0..300).map(|n| format!(r#""c{n}":1"#)).collect();
        assert!(fault(&format!("{{{}}}", many.join(","))).is_some());
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(3000), "]".repeat(3000));
        assert_eq!(fault(&deep), Some(VerifyError::MalformedClaims));
    }

    #[test]
    fn t11_an_id_of_70_kb_is_refused_and_an_odd_one_is_only_a_text() {
        let long = format!(r#"{{"jti":"{}"}}"#, "j".repeat(70_000));
        assert_eq!(fault(&long), Some(VerifyError::InvalidClaim("jti")));
        let odd = br#"{"jti":"user:alice","sub":"a:{}*\n"}"#;
        let claims = RawClaims::parse(odd, &[]).unwrap();
        assert_eq!(claims.sub.as_deref(), Some("a:{}*\n"));
    }
}
