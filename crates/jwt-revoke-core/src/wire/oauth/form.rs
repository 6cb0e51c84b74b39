//! Reading the form of a request.

use std::{borrow::Cow, fmt};

use super::{
    OAuth, Reply,
    refused::{Refused, settle},
};
use crate::defaults;

/// A request to an endpoint that takes a form, as it arrived.
#[derive(Clone)]
#[non_exhaustive]
#[must_use]
pub struct FormRequest<'a> {
    /// The values of all `Authorization` header fields.
    pub authorization: Vec<&'a [u8]>,
    /// The value of `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// The body, at most [`MAX_FORM_BYTES`](defaults::MAX_FORM_BYTES).
    pub body: &'a [u8],
}

impl<'a> FormRequest<'a> {
    /// A form, with nothing in the headers but its type.
    pub fn new(body: &'a [u8]) -> Self {
        Self {
            authorization: Vec::new(),
            content_type: Some(FORM),
            body,
        }
    }

    /// As it arrived: all header fields, names in lower case, and the body.
    pub fn of(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, body: &'a [u8]) -> Self {
        let mut request = Self::new(body).with_content_type(None);
        for (name, value) in headers {
            match name {
                "authorization" => request.authorization.push(value),
                // The first, where there are two.
                "content-type" => request.content_type = request.content_type.or(Some(value)),
                _ => {}
            }
        }
        request
    }

    /// With the values of all `Authorization` header fields.
    pub fn with_authorization(mut self, values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        self.authorization = values.into_iter().collect();
        self
    }

    /// With the value of `Content-Type`.
    pub fn with_content_type(mut self, value: Option<&'a [u8]>) -> Self {
        self.content_type = value;
        self
    }
}

impl OAuth {
    /// The answer to a body longer than [`MAX_FORM_BYTES`](defaults::MAX_FORM_BYTES), which an adapter
    /// need not read to its end: 413.
    pub fn too_large() -> Reply {
        settle(Err(Refused::TooLarge))
    }
}

impl fmt::Debug for FormRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormRequest").finish_non_exhaustive()
    }
}

/// The parameters of a form.
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads the body of a request. Parameters that nobody knows are ignored (RFC 6749 §3.2), and
    /// refused all the same when they are repeated or beyond measure.
    pub(super) fn read(request: &FormRequest<'a>) -> Result<Self, Refused> {
        if !request.content_type.is_some_and(is_form) {
            return Err(Refused::InvalidRequest(
                "the body must be application/x-www-form-urlencoded",
            ));
        }
        if request.body.len() > defaults::MAX_FORM_BYTES {
            return Err(Refused::TooLarge);
        }
        let mut parameters: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(request.body) {
            if value.len() > defaults::MAX_TOKEN_BYTES {
                return Err(Refused::InvalidRequest("a parameter is too long"));
            }
            if parameters.len() == defaults::MAX_FORM_PARAMETERS {
                return Err(Refused::InvalidRequest("there are too many parameters"));
            }
            // "Parameters MUST NOT be included more than once" (RFC 6749 §3.2), not even empty.
            if parameters.iter().any(|(known, _)| *known == name) && !MULTIPLE.contains(&&*name) {
                return Err(Refused::InvalidRequest("a parameter is repeated"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter. One without a value counts as omitted (RFC 6749 §3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value)
    }
}

/// Whether a media type is that of a form, whatever its parameters.
fn is_form(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|byte| *byte == b';');
    content_type[..end.unwrap_or(content_type.len())]
        .trim_ascii()
        .eq_ignore_ascii_case(FORM)
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Parameters that extensions allow to be repeated (RFC 8707 §2, RFC 8693 §2.1). They mean nothing
/// here.
const MULTIPLE: [&str; 2] = ["resource", "audience"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Form<'_>, Refused> {
        Form::read(&FormRequest::new(body.as_bytes()))
    }

    fn refused(body: &str) -> Refused {
        read(body).err().expect("refused")
    }

    #[test]
    fn a_form_is_decoded_and_empty_values_are_omitted() {
        let form = read("a=x%20y+z&b=&c&d=%3D%26").ok().unwrap();
        assert_eq!(form.get("a"), Some("x y z"));
        assert_eq!(form.get("b"), None);
        assert_eq!(form.get("c"), None);
        assert_eq!(form.get("d"), Some("=&"));
        assert_eq!(form.get("e"), None);
    }

    #[test]
    fn a_repeated_parameter_is_refused_in_any_spelling() {
        for body in [
            "scope=a&scope=a",
            "token=&token=x",
            "token&token",
            "%74oken=a&token=b",
            "unknown=1&unknown=2",
        ] {
            assert!(
                matches!(refused(body), Refused::InvalidRequest(_)),
                "{body}"
            );
        }
        assert!(read("resource=a&resource=b&audience=a&audience=b").is_ok());
    }

    #[test]
    fn what_is_beyond_measure_is_refused() {
        let long = format!("token={}", "x".repeat(defaults::MAX_TOKEN_BYTES));
        assert!(read(&long).is_ok());
        assert!(matches!(
            refused(&format!("{long}x")),
            Refused::InvalidRequest(_)
        ));
        let body = format!("a={}", "x".repeat(defaults::MAX_FORM_BYTES));
        assert_eq!(refused(&body), Refused::TooLarge);
        let many: Vec<_> = (0..=defaults::MAX_FORM_PARAMETERS)
            .map(|n| format!("p{n}=1"))
            .collect();
        assert!(matches!(
            refused(&many.join("&")),
            Refused::InvalidRequest(_)
        ));
        assert!(read(&many[1..].join("&")).is_ok());
    }

    #[test]
    fn another_content_type_is_refused() {
        for content_type in [
            None,
            Some(&b"application/json"[..]),
            Some(b"multipart/form-data; boundary=x"),
            Some(b""),
            Some(b"application/x-www-form-urlencodedx"),
            Some(b"\xff"),
        ] {
            let request = FormRequest::new(b"a=b").with_content_type(content_type);
            assert!(matches!(
                Form::read(&request).err(),
                Some(Refused::InvalidRequest(_))
            ));
        }
        for content_type in [
            &b"Application/X-WWW-Form-Urlencoded"[..],
            b"application/x-www-form-urlencoded;charset=UTF-8",
            b"application/x-www-form-urlencoded ; charset=UTF-8",
        ] {
            let request = FormRequest::new(b"a=b").with_content_type(Some(content_type));
            assert!(Form::read(&request).is_ok());
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let request = FormRequest::new(b"a=%ff%00&b=\xff&%zz=%&=x&&");
        assert!(Form::read(&request).is_ok());
    }
}
