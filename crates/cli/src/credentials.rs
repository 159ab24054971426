//! Who asks a private index: as its URL, `.netrc` or a keyring says.
//!
//! What is found goes to that index alone; no message and no log has it, and neither has the child.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use waxseal_client::{Credentials, IndexUrl};

/// Variables that ask for the keyring: our own, and those of pip and uv.
const PROVIDERS: [&str; 3] =
    ["WAXSEAL_KEYRING_PROVIDER", "PIP_KEYRING_PROVIDER", "UV_KEYRING_PROVIDER"];

/// The credentials for an index, of which its URL had some or none.
pub(crate) fn find(index: &IndexUrl, in_url: Option<Credentials>) -> Option<Credentials> {
    let (user, password) = in_url.map(Credentials::into_parts).unwrap_or_default();
    if !password.is_empty() {
        return Some(Credentials::new(user, password));
    }
    let wanted = Some(user.as_str()).filter(|user| !user.is_empty());
    let host = index.as_url().host_str().unwrap_or_default();
    let found = netrc(host, wanted).or_else(|| keyring(index, host, wanted));
    // A token may stand where the user does.
    found.or_else(|| wanted.map(|user| Credentials::new(user, "")))
}

/// What `.netrc` has for a host: `NETRC`, else the one in the home folder.
fn netrc(host: &str, user: Option<&str>) -> Option<Credentials> {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let file = match std::env::var_os("NETRC") {
        Some(file) => PathBuf::from(file),
        None => home()?.join(".netrc"),
    };
    let text = std::fs::read_to_string(file).ok()?;
    let entry = entry_for(&text, host, user)?;
    Some(Credentials::new(entry.login, entry.password))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    login: String,
    password: String,
}

/// The first entry of a machine, and of a login if that is given; else the default entry.
fn entry_for(text: &str, host: &str, user: Option<&str>) -> Option<Entry> {
    let mut tokens = tokens(text).into_iter();
    let mut found: Option<Entry> = None;
    let fits = |entry: &Entry| user.is_none_or(|user| entry.login == user);
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "machine" | "default" => {
                if found.as_ref().is_some_and(fits) {
                    return found;
                }
                let applies = token == "default" || tokens.next().is_some_and(|name| name == host);
                found = applies.then(Entry::default);
            }
            "login" | "user" | "password" | "account" => {
                let value = tokens.next().unwrap_or_default();
                match (&mut found, token.as_str()) {
                    (Some(entry), "password") => entry.password = value,
                    (Some(entry), "login" | "user") => entry.login = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found.filter(fits)
}

/// Words, which may be in quotes, without comments and macros: a macro goes on up to an empty line.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        in_macro &= !line.trim().is_empty();
        if in_macro || line.trim_start().starts_with('#') {
            continue;
        }
        let mut characters = line.chars().peekable();
        while let Some(first) = characters.next() {
            if first.is_whitespace() {
                continue;
            }
            let quoted = first == '"';
            let mut token = String::new();
            let mut next = if quoted { characters.next() } else { Some(first) };
            while let Some(character) = next {
                match character {
                    '"' if quoted => break,
                    '\\' => token.extend(characters.next()),
                    character if !quoted && character.is_whitespace() => break,
                    character => token.push(character),
                }
                next = characters.next();
            }
            if token == "macdef" && !quoted {
                in_macro = true;
                break;
            }
            tokens.push(token);
        }
    }
    tokens
}

/// What the program `keyring` has, if the user asks for it.
fn keyring(index: &IndexUrl, host: &str, user: Option<&str>) -> Option<Credentials> {
    let provider = PROVIDERS.iter().find_map(std::env::var_os)?;
    if provider != "subprocess" {
        return None;
    }
    let url = format!("{index}simple/");
    [url.as_str(), host].iter().find_map(|service| {
        let mut command = Command::new("keyring");
        match user {
            Some(user) => command.args(["get", service, user]),
            None => command.args(["--mode", "creds", "get", service]),
        };
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut lines = text.lines();
        let user = user.map(str::to_owned).or_else(|| lines.next().map(str::to_owned))?;
        Some(Credentials::new(user, lines.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETRC: &str = "# machine host login no password no\n\
        machine other login a password b\n\
        macdef init\nmachine host login c password d\n\n\
        machine host\n  login \"me\"\n  account x\n  password \"se cret\\\"#1\"\n\
        machine host login you password yours\n\
        default login anyone password guest\n";

    fn found(host: &str, user: Option<&str>) -> Option<(String, String)> {
        entry_for(NETRC, host, user).map(|entry| (entry.login, entry.password))
    }

    fn pair(login: &str, password: &str) -> (String, String) {
        (login.to_owned(), password.to_owned())
    }

    #[test]
    fn the_entry_of_a_host_is_found_and_else_the_default() {
        assert_eq!(found("host", None), Some(pair("me", "se cret\"#1")));
        assert_eq!(found("host", Some("you")), Some(pair("you", "yours")));
        assert_eq!(found("host", Some("nobody")), None);
        assert_eq!(found("other", None), Some(pair("a", "b")));
        assert_eq!(found("third", None), Some(pair("anyone", "guest")));
    }

    #[test]
    fn a_file_that_ends_early_or_is_none_gives_nothing_away() {
        for text in ["", "machine", "machine host login", "machine host \"", "password x", "\\"] {
            let entry = entry_for(text, "host", None);
            assert!(entry.is_none_or(|entry| entry.password.is_empty()), "{text}");
        }
    }
}
