//! What a token can do, and what it can do wrong.
//!
//! A process starts the module once, with the tokens of its environment: each test runs itself again in a
//! process of its own.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::thread;

use waxseal_signing::{
    KeyError, KeyUri, Nobody, Passphrases, PinState, Question, Scheme, Secret, TokenError,
    check_scheme, generate, inspect, list, open,
};
use waxseal_testkit::peers::{CleanCommand, SoftHsm};
use waxseal_tuf::Signer;

/// Runs the test of this name in a process with a token that is called `office`.
fn with_token(test: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(token) = SoftHsm::of_this_process() {
        return body(&token);
    }
    let token = SoftHsm::new("office");
    let own = CleanCommand::new(std::env::current_exe().unwrap());
    let own = own.args(["--exact", &format!("token::{test}"), "--nocapture"]);
    let outcome =
        token.set_up(own).env("PIN", SoftHsm::PIN).env("WRONG", "0000-wrong").run().success();
    assert!(outcome.stdout.contains("1 passed"), "{outcome}");
}

/// Somebody who answers so, once each, and keeps what was asked.
struct Answers {
    answers: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn new(answers: &[&'static str]) -> Self {
        let answers = answers.iter().rev().copied().collect::<Vec<_>>().into();
        Self { answers, asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Passphrases for Answers {
    fn ask(&self, question: &Question<'_>) -> io::Result<Option<Secret>> {
        let remark = question.remark.clone().unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{remark} {question}").trim().to_owned());
        Ok(self.answers.lock().unwrap().pop().map(|answer| Secret::new(answer.to_owned())))
    }
}

fn uri(text: &str) -> KeyUri {
    text.parse().unwrap()
}

/// A key of this name on the token, with the PIN of the environment.
fn named(name: &str) -> KeyUri {
    uri(&format!("pkcs11:token=office;object={name}?pin-source=env:PIN"))
}

fn made(name: &str, scheme: Scheme) -> Box<dyn Signer> {
    let info = generate(&named(name), scheme, &Nobody).unwrap();
    let signer = open(&info.uri, &Nobody).unwrap();
    assert_eq!(Some(signer.public_key()), info.public_key.as_ref());
    signer
}

#[track_caller]
fn token_error(error: KeyError) -> TokenError {
    let text = format!("{error} {error:?}");
    for secret in [SoftHsm::PIN, "0000-wrong"] {
        assert!(!text.contains(secret), "a PIN is in: {text}");
    }
    match error {
        KeyError::Token(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_of_each_scheme_are_made_listed_and_sign_on_all_cores() {
    with_token("keys_of_each_scheme_are_made_listed_and_sign_on_all_cores", |_| {
        for scheme in Scheme::ALL {
            check_scheme(&named("x"), scheme).unwrap();
            let signer = made(scheme.name(), scheme);
            assert_eq!(signer.public_key().scheme(), Some(scheme.name()));
            thread::scope(|scope| {
                for number in 0..8_u32 {
                    let signer = &signer;
                    scope.spawn(move || {
                        for round in 0..50_u32 {
                            let message = [number.to_be_bytes(), round.to_be_bytes()].concat();
                            let signature = signer.sign(&message).unwrap();
                            assert!(signer.public_key().verifies(&message, &signature));
                        }
                    });
                }
            });
            // Without a PIN, and with less of a URI.
            let short = uri(&format!("pkcs11:object={}", scheme.name()));
            let info = inspect(&short, &Nobody).unwrap();
            assert_eq!(info.public_key.as_ref(), Some(signer.public_key()));
        }
        assert_eq!(list(&uri("pkcs11:")).unwrap().len(), 2);
        assert_eq!(list(&uri("pkcs11:token=other")).unwrap(), []);
        // Two schemes, one name: nothing is written over.
        let error = generate(&named("ed25519"), Scheme::EcdsaP256, &Nobody).unwrap_err();
        assert!(matches!(token_error(error), TokenError::Exists { .. }));
        let error = generate(&uri("pkcs11:token=office"), Scheme::Ed25519, &Nobody).unwrap_err();
        assert!(matches!(token_error(error), TokenError::Unnamed { .. }));
    });
}

#[test]
fn openssl_verifies_what_a_token_signs() {
    with_token("openssl_verifies_what_a_token_signs", |token| {
        let file = |name: &str| token.config().with_file_name(name);
        let signer = made("k", Scheme::EcdsaP256);
        fs::write(file("key"), signer.public_key().to_pem().unwrap()).unwrap();
        fs::write(file("message"), "message").unwrap();
        fs::write(file("signature"), signer.sign(b"message").unwrap()).unwrap();
        let verify =
            CleanCommand::new("openssl").args(["dgst", "-sha256", "-verify"]).arg(file("key"));
        let verify = verify.arg("-signature").arg(file("signature")).arg(file("message"));
        assert_eq!(verify.run().success().stdout, "Verified OK\n");
    });
}

#[test]
fn wrong_pins_are_not_tried_again() {
    with_token("wrong_pins_are_not_tried_again", |_| {
        let key = "pkcs11:token=office;object=k";
        let error = open(&uri(&format!("{key}?pin-source=env:WRONG")), &Nobody).unwrap_err();
        match token_error(error) {
            TokenError::WrongPin { from, state, .. } => {
                assert_eq!((from.as_str(), state), ("of env:WRONG", PinState::CountLow));
            }
            other => panic!("{other}"),
        }
        // The person is asked once, and told that a wrong one was tried.
        let answers = Answers::new(&["0000-wrong", SoftHsm::PIN]);
        let error = open(&uri(key), &answers).unwrap_err();
        assert!(matches!(token_error(error), TokenError::WrongPin { .. }));
        let asked = answers.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].contains("A wrong PIN was tried before"), "{asked:?}");
        assert!(asked[0].ends_with("PIN of the token office:"), "{asked:?}");
        let error = open(&uri(key), &Nobody).unwrap_err();
        assert!(matches!(token_error(error), TokenError::NoPin { .. }));
        // The right one makes good.
        made("k", Scheme::Ed25519);
    });
}

#[test]
fn a_token_that_was_taken_out_signs_again_when_it_is_back() {
    with_token("a_token_that_was_taken_out_signs_again_when_it_is_back", |token| {
        let (ed25519, p256) = (made("a", Scheme::Ed25519), made("b", Scheme::EcdsaP256));
        token.take_out();
        for signer in [&ed25519, &p256] {
            let error = signer.sign(b"m").unwrap_err();
            assert!(error.key.starts_with("pkcs11:"), "{error}");
            assert!(
                error.to_string().contains("plug it in")
                    || error.to_string().contains("put it back"),
                "{error}"
            );
            assert!(!format!("{error} {error:?} {signer:?}").contains(SoftHsm::PIN), "{error}");
        }
        token.put_back();
        for signer in [&ed25519, &p256] {
            let signature = signer.sign(b"m").unwrap();
            assert!(signer.public_key().verifies(b"m", &signature));
        }
    });
}

#[test]
fn another_token_of_the_same_name_signs_nothing() {
    with_token("another_token_of_the_same_name_signs_nothing", |token| {
        // A URI that does not say the serial number.
        generate(&named("k"), Scheme::Ed25519, &Nobody).unwrap();
        let signer = open(&named("k"), &Nobody).unwrap();
        token.take_out();
        token.add_token("office");
        let make = token.command("pkcs11-tool").args(["--module", token.module(), "--login"]);
        let make =
            make.args(["--pin", SoftHsm::PIN, "--keypairgen", "--key-type", "EC:edwards25519"]);
        make.args(["--label", "k", "--id", "01"]).run().success();
        let error = signer.sign(b"m").unwrap_err().to_string();
        // The source of the PIN opens that one as well; what it signs does not go out.
        assert!(error.contains("now signs with another key than before"), "{error}");
    });
}

#[test]
fn more_than_one_match_is_an_error_that_lists_them() {
    with_token("more_than_one_match_is_an_error_that_lists_them", |token| {
        let make = |id: &str| {
            let make = token.command("pkcs11-tool").args(["--module", token.module(), "--login"]);
            let make =
                make.args(["--pin", SoftHsm::PIN, "--keypairgen", "--key-type", "EC:prime256v1"]);
            make.args(["--label", "twin", "--id", id]).run().success();
        };
        make("01");
        make("02");
        let error = open(&named("twin"), &Nobody).unwrap_err().to_string();
        assert!(error.contains("\"twin\" (id=%01), \"twin\" (id=%02)"), "{error}");
        let second = uri("pkcs11:object=twin;id=%02?pin-source=env:PIN");
        open(&second, &Nobody).unwrap().sign(b"m").unwrap();
        let error = open(&named("none"), &Nobody).unwrap_err().to_string();
        assert!(
            error.contains("has no private key for") && error.contains("\"twin\" (id=%01)"),
            "{error}"
        );

        token.add_token("home");
        let error = open(&uri("pkcs11:object=twin?pin-source=env:PIN"), &Nobody).unwrap_err();
        match token_error(error) {
            TokenError::SeveralTokens { tokens, .. } => assert_eq!(tokens.len(), 2, "{tokens:?}"),
            // The module looks for tokens when it starts.
            TokenError::SeveralKeys { keys, .. } => assert_eq!(keys.len(), 2, "{keys:?}"),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn what_is_not_there_or_not_ready_is_said() {
    with_token("what_is_not_there_or_not_ready_is_said", |_| {
        let error =
            open(&uri("pkcs11:token=home;object=k?pin-source=env:PIN"), &Nobody).unwrap_err();
        let text = error.to_string();
        assert!(matches!(token_error(error), TokenError::NoToken { .. }), "{text}");
        assert!(text.contains("there is office ("), "{text}");
        let blank = list(&uri("pkcs11:")).unwrap();
        assert_eq!(blank, [], "the slot for a new token has no keys");
        let error = open(&uri("pkcs11:token=;object=k?pin-source=env:PIN"), &Nobody).unwrap_err();
        assert!(matches!(token_error(error), TokenError::NotReady { .. }));
        for (module, part) in [
            ("module-path=/none.so", "/none.so: No such file"),
            ("module-path=/etc/passwd", "cannot use the PKCS#11 module /etc/passwd"),
            ("module-name=none", "there is no libnone.so"),
        ] {
            let error = open(&uri(&format!("pkcs11:object=k?{module}")), &Nobody).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(matches!(token_error(error), TokenError::Module { .. }));
        }
    });
}
