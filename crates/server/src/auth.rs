//! Who asks: HTTP Basic authentication with a token, as twine and uv send it, or the token as a bearer
//! token (RFC 6750), as programs send it to the API.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use waxseal_repository::database::{TokenRow, TokenScope};

use crate::error::Error;
use crate::state::AppState;

/// The user name that goes with a token, as on PyPI.
const USER_NAME: &str = "__token__";

/// The token that the request carries. Its text never is in an error or a log.
pub(crate) async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<TokenRow, Error> {
    let token = token(headers)?;
    let found = state.blocking(move |repository| Ok(repository.database().authenticate(&token)?));
    found.await?.ok_or(Error::Token)
}

/// Refuses a token of another scope.
pub(crate) fn require(token: &TokenRow, scope: TokenScope) -> Result<(), Error> {
    match token.scope == scope {
        true => Ok(()),
        false => Err(Error::Scope { have: token.scope.as_str(), need: scope.as_str() }),
    }
}

fn token(headers: &HeaderMap) -> Result<String, Error> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Err(Error::Unauthenticated) };
    let header = header.to_str().map_err(|_| Error::Credentials)?;
    let (scheme, credentials) = header.split_once(' ').ok_or(Error::Credentials)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(credentials.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Error::Credentials);
    }
    let decoded = decode(credentials).ok_or(Error::Credentials)?;
    let (user, password) = decoded.split_once(':').ok_or(Error::Credentials)?;
    if user != USER_NAME {
        return Err(Error::UserName);
    }
    // Pasted tokens bring spaces and line ends along.
    Ok(password.trim().to_owned())
}

fn decode(credentials: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(credentials.trim().as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_in(value: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap_or(http::HeaderValue::from_static("")));
        token(&headers).map_err(|error| error.to_string())
    }

    #[test]
    fn basic_credentials_are_read() {
        let good = format!("Basic {}", BASE64.encode(b"__token__:waxseal_a:b\n"));
        assert_eq!(token_in(&good).as_deref(), Ok("waxseal_a:b"));
        assert_eq!(token_in(&good.replace("Basic", "bAsIc")).as_deref(), Ok("waxseal_a:b"));
        assert_eq!(token_in("Bearer waxseal_a:b ").as_deref(), Ok("waxseal_a:b"));
        assert_eq!(token_in("bearer waxseal_a").as_deref(), Ok("waxseal_a"));
        assert!(matches!(token(&HeaderMap::new()), Err(Error::Unauthenticated)));
    }

    #[test]
    fn other_credentials_are_refused_and_not_repeated() {
        for value in [
            String::new(),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            "Digest c2VjcmV0".to_owned(),
            "Bearer".to_owned(),
            format!("Basic {}", BASE64.encode(b"secret")),
            format!("Basic {}", BASE64.encode(b"\xff:secret")),
            format!("Basic {}", BASE64.encode(b"alice:secret")),
        ] {
            let refused = token_in(&value);
            assert!(refused.as_ref().is_err_and(|text| !text.contains("secret")), "{refused:?}");
        }
    }
}
