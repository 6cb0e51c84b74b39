//! Which client sends a request (RFC 6749 §2.3).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::{
    OAuth,
    client::Client,
    form::{Form, FormRequest},
    refused::{Challenge, Refused},
};
use crate::defaults;

impl OAuth {
    /// The client that sends a request: by `client_secret_basic`, by `client_secret_post`, or without
    /// proof by `client_id` alone. A request that says nothing of a client is the application's own.
    pub(super) fn authenticate(
        &self,
        request: &FormRequest<'_>,
        form: &Form<'_>,
    ) -> Result<&Client, Refused> {
        let in_form = form.get("client_secret").is_some() || form.get("client_assertion").is_some();
        match request.authorization[..] {
            [] => self.by_form(form),
            [_] if in_form => Err(Refused::InvalidRequest(
                "the client authenticates in two ways",
            )),
            [header] => self.by_header(header, form),
            _ => Err(Refused::InvalidRequest("two authorization headers")),
        }
    }

    fn by_form(&self, form: &Form<'_>) -> Result<&Client, Refused> {
        let failed = Refused::InvalidClient(Challenge::None);
        // A way of authentication that is not supported (RFC 7521 §4.2).
        if form.get("client_assertion").is_some() {
            return Err(failed);
        }
        let secret = form.get("client_secret");
        let id = match form.get("client_id") {
            Some(id) => id,
            None if secret.is_some() => {
                return Err(Refused::InvalidRequest("the client_id is missing"));
            }
            None => defaults::CLIENT_ID,
        };
        self.clients.verify(id, secret).ok_or(failed)
    }

    fn by_header(&self, header: &[u8], form: &Form<'_>) -> Result<&Client, Refused> {
        let failed = Refused::InvalidClient(Challenge::Basic);
        let basic = Basic::parse(header).ok_or(failed)?;
        // RFC 6749 §2.3.1 has both parts form-encoded first. Many clients do not, and what they send
        // proves as much.
        let client = [basic.decoded(), Some(basic.as_it_is())]
            .into_iter()
            .flatten()
            .find_map(|(id, secret)| {
                let secret = Some(secret.as_str()).filter(|secret| !secret.is_empty());
                self.clients.verify(&id, secret)
            })
            .ok_or(failed)?;
        match form.get("client_id") {
            Some(other) if other != client.id().as_str() => Err(Refused::InvalidRequest(
                "the client_id is not that of the authorization header",
            )),
            _ => Ok(client),
        }
    }
}

/// The credentials of an `Authorization: Basic` header (RFC 7617 §2).
struct Basic {
    text: Zeroizing<String>,
    /// Where the colon is.
    colon: usize,
}

impl Basic {
    fn parse(header: &[u8]) -> Option<Self> {
        let (scheme, rest) = header.split_at_checked(BASIC.len())?;
        if !scheme.eq_ignore_ascii_case(BASIC) || !rest.starts_with(b" ") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(rest.trim_ascii()).ok()?).ok()?;
        let text = Zeroizing::new(text);
        let colon = text.find(':')?;
        Some(Self { text, colon })
    }

    fn as_it_is(&self) -> Credentials {
        let (id, secret) = (&self.text[..self.colon], &self.text[self.colon + 1..]);
        (id.to_owned(), Zeroizing::new(secret.to_owned()))
    }

    fn decoded(&self) -> Option<Credentials> {
        let (id, secret) = self.as_it_is();
        Some((decode(&id)?, Zeroizing::new(decode(&secret)?)))
    }
}

/// An identifier and a secret, which may be empty.
type Credentials = (String, Zeroizing<String>);

/// Undoes `application/x-www-form-urlencoded` for one value.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

const BASIC: &[u8] = b"basic";

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests {
    use super::*;
    use crate::{
        Guard, Issuer,
        session::Sessions,
        store::EmbeddedStore,
        verify::{Algorithm, SigningKey},
        wire::oauth::Clients,
    };

    const SECRET: &str = "hGg3vWq0aZ6x+4TnYpKcR9%sLd2MfBuJ7==";
    const ENCODED: &str = "hGg3vWq0aZ6x%2B4TnYpKcR9%25sLd2MfBuJ7%3D%3D";
    const FAILED: Refused = Refused::InvalidClient(Challenge::None);
    const CHALLENGED: Refused = Refused::InvalidClient(Challenge::Basic);

    fn oauth(clients: Clients) -> OAuth {
        let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
        let issuer = Issuer::new(key, "https://auth.example.com", "api");
        let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
        OAuth::new(Sessions::new(&guard, issuer)).with_clients(clients)
    }

    fn clients() -> Clients {
        let api = Client::confidential("api:1", SECRET).unwrap();
        let page = Client::public("page").unwrap();
        Clients::default().with(api).unwrap().with(page).unwrap()
    }

    fn who(clients: Clients, headers: &[&str], body: &str) -> Result<String, Refused> {
        let oauth = oauth(clients);
        let headers: Vec<_> = headers.iter().map(|header| header.as_bytes()).collect();
        let request = FormRequest::new(body.as_bytes()).with_authorization(headers);
        let form = Form::read(&request)?;
        let client = oauth.authenticate(&request, &form)?;
        Ok(client.id().as_str().to_owned())
    }

    fn basic(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn each_way_of_authentication_leads_to_the_client() {
        let encoded = basic(&format!("api%3A1:{ENCODED}"));
        assert_eq!(who(clients(), &[&encoded], "").unwrap(), "api:1");
        assert_eq!(
            who(clients(), &[&encoded], "client_id=api:1").unwrap(),
            "api:1"
        );
        let form = format!("client_id=api:1&client_secret={ENCODED}");
        assert_eq!(who(clients(), &[], &form).unwrap(), "api:1");
        assert_eq!(who(clients(), &[], "client_id=page").unwrap(), "page");
        assert_eq!(who(clients(), &[&basic("page:")], "").unwrap(), "page");
        assert_eq!(who(clients(), &[], "").unwrap(), defaults::CLIENT_ID);
    }

    #[test]
    fn a_client_that_does_not_encode_its_secret_is_understood() {
        let api = Client::confidential("api", SECRET).unwrap();
        let clients = Clients::none().with(api).unwrap();
        let plain = basic(&format!("api:{SECRET}"));
        assert_eq!(who(clients, &[&plain], "").unwrap(), "api");
    }

    #[test]
    fn a_wrong_secret_and_an_unknown_client_are_told_the_same() {
        for body in [
            "client_id=api:1&client_secret=wrong",
            "client_id=api:1",
            "client_id=unknown",
            "client_id=unknown&client_secret=wrong",
            "client_id=page&client_secret=wrong",
            "client_id=page&client_assertion=a.b.c",
        ] {
            assert_eq!(who(clients(), &[], body), Err(FAILED), "{body}");
        }
        assert_eq!(who(Clients::none(), &[], ""), Err(FAILED));
        for credentials in [
            "api%3A1:wrong",
            "api%3A1:",
            "unknown:wrong",
            "page:wrong",
            ":",
        ] {
            let header = basic(credentials);
            assert_eq!(
                who(clients(), &[&header], ""),
                Err(CHALLENGED),
                "{credentials}"
            );
        }
    }

    #[test]
    fn a_header_that_holds_no_credentials_is_refused_with_a_challenge() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic %",
            "Basic YQ",
            "Basic YQ==",
            "Basic /////w==",
            "Basicx YTpi",
            "Bearer a.b.c",
        ] {
            assert_eq!(
                who(clients(), &[header], "client_id=page"),
                Err(CHALLENGED),
                "{header}"
            );
        }
    }

    #[test]
    fn two_ways_of_authentication_at_once_are_malformed() {
        let encoded = basic(&format!("api%3A1:{ENCODED}"));
        for (headers, body) in [
            (vec![&*encoded], &*format!("client_secret={ENCODED}")),
            (vec![&*encoded], "client_assertion=a.b.c"),
            (vec![&*encoded], "client_id=page"),
            (vec![&*encoded, &*encoded], ""),
            (vec![], "client_secret=alone"),
        ] {
            let refused = who(clients(), &headers, body);
            assert!(
                matches!(refused, Err(Refused::InvalidRequest(_))),
                "{body}: {refused:?}"
            );
        }
    }
}
