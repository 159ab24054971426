//! Upload and API tokens.

use waxseal_repository::Error;
use waxseal_repository::database::TokenScope;

use super::Place;

pub(super) fn a_token_is_known_by_its_text_alone(place: &Place) {
    let database = place.open();
    let (token, secret) = database.create_token("release robot").unwrap();
    let (_, other) = database.create_token("other").unwrap();
    let text = secret.expose();
    assert!(text.starts_with(&format!("waxseal_{}_", token.id)));
    assert_eq!(text.len(), "waxseal_".len() + 12 + 1 + 43);
    let used = database.authenticate(text).unwrap().unwrap();
    assert_eq!((&used.id, used.name.as_str()), (&token.id, "release robot"));
    assert!(used.last_used_at.is_some());

    let last = if text.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{last}", &text[..text.len() - 1]);
    let swapped = format!("waxseal_{}{}", token.id, &other.expose()[20..]);
    let id_only = format!("waxseal_{}_", token.id);
    let spaced = format!("{text} ");
    let long = format!("{text}{}", "x".repeat(1 << 16));
    let shouted = text.to_uppercase();
    for wrong in
        ["", "waxseal_", "password", "waxseal_ääääääääääää_", &changed, &swapped, &id_only, &spaced]
    {
        assert_eq!(database.authenticate(wrong).unwrap(), None, "{wrong}");
    }
    assert_eq!(database.authenticate(&long).unwrap(), None);
    assert_eq!(database.authenticate(&shouted).unwrap(), None);
}

pub(super) fn a_revoked_token_is_refused_and_its_name_is_free_again(place: &Place) {
    let database = place.open();
    let (first, secret) = database.create_token("robot").unwrap();
    let taken = database.create_token("robot").unwrap_err();
    assert!(matches!(taken, Error::TokenName { .. }), "{taken}");
    let revoked = database.revoke_token("robot").unwrap().unwrap();
    assert_eq!(revoked.id, first.id);
    assert!(revoked.revoked_at.is_some());
    assert_eq!(database.authenticate(secret.expose()).unwrap(), None);
    assert_eq!(database.revoke_token("robot").unwrap(), None);
    assert_eq!(database.revoke_token(&first.id).unwrap(), None);

    let (second, secret) = database.create_token("robot").unwrap();
    assert!(database.authenticate(secret.expose()).unwrap().is_some());
    assert_eq!(database.revoke_token(&second.id).unwrap().unwrap().id, second.id);
    assert_eq!(database.authenticate(secret.expose()).unwrap(), None);
    let ids: Vec<_> = database.tokens().unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(ids, [first.id, second.id]);
}

pub(super) fn a_token_has_one_scope(place: &Place) {
    let database = place.open();
    let (upload, _) = database.create_token("laptop").unwrap();
    let (api, secret) = database.create_token_for("warehouse", TokenScope::Api).unwrap();
    assert_eq!((upload.scope, api.scope), (TokenScope::Upload, TokenScope::Api));
    assert_eq!(database.authenticate(secret.expose()).unwrap().unwrap().scope, TokenScope::Api);
    let scopes: Vec<_> = database.tokens().unwrap().into_iter().map(|token| token.scope).collect();
    assert_eq!(scopes, [TokenScope::Upload, TokenScope::Api]);
    assert!("root".parse::<TokenScope>().is_err());
}

pub(super) fn token_names_are_for_people(place: &Place) {
    let database = place.open();
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(database.create_token(name), Err(Error::TokenName { .. })), "{name:?}");
    }
    assert_eq!(database.tokens().unwrap(), []);
}
