//! Who uploads: HTTP Basic authentication with an upload token, as twine and uv send it.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::error::Error;
use crate::state::AppState;

/// The user name that goes with a token, as on PyPI.
const USER_NAME: &str = "__token__";

/// The name of the token that the request carries. The token itself never is in an error or a log.
pub(crate) async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<String, Error> {
    let token = token(headers)?;
    let found = state.blocking(move |repository| Ok(repository.database().authenticate(&token)?));
    match found.await? {
        Some(token) => Ok(token.name),
        None => Err(Error::Token),
    }
}

fn token(headers: &HeaderMap) -> Result<String, Error> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Err(Error::Unauthenticated) };
    let decoded = header.to_str().ok().and_then(basic).ok_or(Error::Credentials)?;
    let (user, password) = decoded.split_once(':').ok_or(Error::Credentials)?;
    if user != USER_NAME {
        return Err(Error::UserName);
    }
    // Pasted tokens bring spaces and line ends along.
    Ok(password.trim().to_owned())
}

fn basic(header: &str) -> Option<String> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
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
        assert!(matches!(token(&HeaderMap::new()), Err(Error::Unauthenticated)));
    }

    #[test]
    fn other_credentials_are_refused_and_not_repeated() {
        for value in [
            String::new(),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            "Bearer c2VjcmV0".to_owned(),
            format!("Basic {}", BASE64.encode(b"secret")),
            format!("Basic {}", BASE64.encode(b"\xff:secret")),
            format!("Basic {}", BASE64.encode(b"alice:secret")),
        ] {
            let refused = token_in(&value);
            assert!(refused.as_ref().is_err_and(|text| !text.contains("secret")), "{refused:?}");
        }
    }
}
