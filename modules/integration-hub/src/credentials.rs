//! Credentials of providers: read, never shown. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use kernel::{FieldCode, FieldError, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::{http::providers::CredentialsIn, model::AuthType};

/// What opens a provider's door. Kept sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Credentials {
    ApiKey {
        #[serde(serialize_with = "exposed")]
        key: Secret,
        name: String,
        place: Place,
    },
    Bearer {
        #[serde(serialize_with = "exposed")]
        token: Secret,
    },
    Basic {
        username: String,
        #[serde(serialize_with = "exposed")]
        password: Secret,
    },
    OAuth2(Client),
    Hmac {
        key_id: Option<String>,
        #[serde(serialize_with = "exposed")]
        secret: Secret,
    },
}

/// A client of an OAuth 2.0 server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub token_url: String,
    pub id: String,
    #[serde(serialize_with = "exposed")]
    pub secret: Secret,
    pub scope: Option<String>,
    pub audience: Option<String>,
}

/// Where a key stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// In a header.
    Header,
    /// In a parameter of the query.
    Query,
}

/// Only on its way into the vault.
fn exposed<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose())
}

/// Longest secret.
const LONGEST: usize = 8_000;

/// Reads what was given for a kind of authentication; notes what is missing, too much or not right. `None` if something
/// is, or if nothing is needed.
pub(crate) fn read(
    kind: AuthType,
    given: CredentialsIn,
    check_url: impl FnOnce(&str) -> Result<String, FieldError>,
    wrong: &mut Vec<FieldError>,
) -> Option<Credentials> {
    let mut form = Form { given, wrong };
    let read = match kind {
        AuthType::None => None,
        AuthType::ApiKey => form.api_key(),
        AuthType::Bearer => {
            let token = form.secret("token", |given| given.token.take(), true);
            token.map(|token| Credentials::Bearer { token })
        }
        AuthType::Basic => {
            let username = form.text("username", |given| given.username.take());
            let password = form.secret("password", |given| given.password.take(), false);
            if username.as_ref().is_some_and(|name| name.contains(':')) {
                form.note("username", FieldCode::InvalidFormat, "takes no colon (RFC 7617)");
            }
            username.zip(password).map(|(username, password)| Credentials::Basic { username, password })
        }
        AuthType::OAuth2 => form.client(check_url),
        AuthType::Hmac => {
            let key_id = form.given.key_id.take();
            if key_id.as_ref().is_some_and(|id| HeaderValue::from_str(id).is_err() || id.len() > LONGEST) {
                form.note("keyId", FieldCode::InvalidFormat, "must be text for a header");
            }
            let secret = form.secret("secret", |given| given.secret.take(), false);
            secret.map(|secret| Credentials::Hmac { key_id, secret })
        }
    };
    form.nothing_else(kind);
    if form.wrong.is_empty() { read } else { None }
}

struct Form<'a> {
    given: CredentialsIn,
    wrong: &'a mut Vec<FieldError>,
}

impl Form<'_> {
    fn note(&mut self, name: &str, code: FieldCode, message: &str) {
        self.wrong.push(FieldError::new(format!("/credentials/{name}"), code, message));
    }

    /// A secret; one that travels as a header's value must fit in there.
    fn secret(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut CredentialsIn) -> Option<Secret>,
        in_header: bool,
    ) -> Option<Secret> {
        let secret = take(&mut self.given);
        match &secret {
            None => self.note(name, FieldCode::Required, "is needed"),
            Some(secret) if secret.expose().is_empty() => self.note(name, FieldCode::TooShort, "is empty"),
            Some(secret) if secret.expose().len() > LONGEST => {
                self.note(name, FieldCode::TooLong, "takes at most 8000 bytes");
            }
            Some(secret) if in_header && HeaderValue::from_str(secret.expose()).is_err() => {
                self.note(name, FieldCode::InvalidFormat, "must be text for a header");
            }
            Some(_) => return secret,
        }
        None
    }

    fn text(
        &mut self,
        name: &str,
        take: impl FnOnce(&mut CredentialsIn) -> Option<String>,
    ) -> Option<String> {
        let text = take(&mut self.given);
        match &text {
            None => self.note(name, FieldCode::Required, "is needed"),
            Some(text) if text.is_empty() => self.note(name, FieldCode::TooShort, "is empty"),
            Some(text) if text.len() > LONGEST => {
                self.note(name, FieldCode::TooLong, "takes at most 8000 bytes");
            }
            Some(_) => return text,
        }
        None
    }

    fn api_key(&mut self) -> Option<Credentials> {
        let place = self.given.place.take().unwrap_or(Place::Header);
        let key = self.secret("key", |given| given.key.take(), place == Place::Header);
        let name = self.given.name.take().unwrap_or_else(|| "X-Api-Key".to_owned());
        let fits = match place {
            Place::Header => {
                HeaderName::try_from(name.as_str()).is_ok() && !name.eq_ignore_ascii_case("host")
            }
            Place::Query => !name.is_empty() && name.len() <= 100,
        };
        if !fits {
            self.note("name", FieldCode::InvalidFormat, "must be the name of a header or parameter");
        }
        key.map(|key| Credentials::ApiKey { key, name, place })
    }

    fn client(&mut self, check_url: impl FnOnce(&str) -> Result<String, FieldError>) -> Option<Credentials> {
        let token_url = self.text("tokenUrl", |given| given.token_url.take());
        let token_url =
            token_url.and_then(|url| check_url(&url).map_err(|error| self.wrong.push(error)).ok());
        let id = self.text("clientId", |given| given.client_id.take());
        let secret = self.secret("clientSecret", |given| given.client_secret.take(), false);
        let (scope, audience) = (self.given.scope.take(), self.given.audience.take());
        let (token_url, id, secret) = (token_url?, id?, secret?);
        Some(Credentials::OAuth2(Client { token_url, id, secret, scope, audience }))
    }

    /// What is left was meant for another kind of authentication.
    fn nothing_else(&mut self, kind: AuthType) {
        for name in self.given.names() {
            self.note(
                name,
                FieldCode::NotAllowed,
                &format!("does not belong to the authType {}", kind.as_str()),
            );
        }
    }
}

/// Name and password as they travel.
pub(crate) fn basic(username: &str, password: &Secret) -> String {
    STANDARD.encode(format!("{username}:{}", password.expose()))
}

impl Credentials {
    /// What must not be repeated to anybody, in every form in which it travels.
    pub(crate) fn secrets(&self) -> Vec<String> {
        match self {
            Self::ApiKey { key, .. } => vec![key.expose().to_owned()],
            Self::Bearer { token } => vec![token.expose().to_owned()],
            Self::Basic { username, password } => {
                vec![basic(username, password), password.expose().to_owned()]
            }
            Self::OAuth2(client) => vec![client.secret.expose().to_owned()],
            Self::Hmac { secret, .. } => vec![secret.expose().to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(json: &str) -> CredentialsIn {
        ports::http::parse_json(json.as_bytes()).unwrap()
    }

    fn read_as(kind: AuthType, json: &str) -> Result<Option<Credentials>, Vec<String>> {
        let mut wrong = Vec::new();
        let read = read(kind, given(json), |url| Ok(url.to_owned()), &mut wrong);
        if wrong.is_empty() { Ok(read) } else { Err(wrong.into_iter().map(|wrong| wrong.field).collect()) }
    }

    #[test]
    fn each_kind_takes_what_is_its_own_and_nothing_else() {
        for (kind, json) in [
            (AuthType::ApiKey, r#"{"key":"k"}"#),
            (AuthType::ApiKey, r#"{"key":"k","name":"key","in":"query"}"#),
            (AuthType::Bearer, r#"{"token":"t"}"#),
            (AuthType::Basic, r#"{"username":"u","password":"p"}"#),
            (
                AuthType::OAuth2,
                r#"{"tokenUrl":"https://a.example/t","clientId":"c","clientSecret":"s","scope":"a b"}"#,
            ),
            (AuthType::Hmac, r#"{"secret":"s","keyId":"k"}"#),
        ] {
            assert!(read_as(kind, json).unwrap().is_some(), "{json}");
        }
        assert_eq!(read_as(AuthType::None, "{}").unwrap(), None);
        assert_eq!(read_as(AuthType::Bearer, "{}").unwrap_err(), ["/credentials/token"]);
        assert_eq!(read_as(AuthType::None, r#"{"token":"t"}"#).unwrap_err(), ["/credentials/token"]);
        let wrong = read_as(AuthType::Basic, r#"{"username":"a:b","password":"","token":"x"}"#).unwrap_err();
        assert_eq!(wrong, ["/credentials/password", "/credentials/username", "/credentials/token"]);
        let wrong = read_as(AuthType::OAuth2, "{}").unwrap_err();
        assert_eq!(wrong, ["/credentials/tokenUrl", "/credentials/clientId", "/credentials/clientSecret"]);
        assert_eq!(read_as(AuthType::Bearer, r#"{"token":"a\nb"}"#).unwrap_err(), ["/credentials/token"]);
    }

    #[test]
    fn they_come_out_of_the_vault_as_they_went_in_and_never_print() {
        let basic = read_as(AuthType::Basic, r#"{"username":"u","password":"hunter22"}"#).unwrap().unwrap();
        let kept = serde_json::to_vec(&basic).unwrap();
        assert_eq!(serde_json::from_slice::<Credentials>(&kept).unwrap(), basic);
        assert!(!format!("{basic:?}").contains("hunter22"));
        assert!(basic.secrets().contains(&STANDARD.encode("u:hunter22")));
    }
}
