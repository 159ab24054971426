//! Private keys in files: written once, durable, and for their owner alone.

use std::fs;
use std::path::Path;

use waxseal_tuf::{PublicKey, Signer};

use crate::backend::{KeyBackend, KeyInfo, Protection};
use crate::encrypted::KeyPem;
use crate::error::KeyError;
use crate::passphrases::{Nobody, Passphrases, new_passphrase, with_passphrase};
use crate::private_file::{self, MAX_KEY_LENGTH};
use crate::private_key::{PrivateKey, Scheme};
use crate::secret::Secret;
use crate::uri::{KeyUri, PASSPHRASE_SOURCE, encode, invalid};
use crate::{encrypted, stored};

const KEY_FILE: &str = "key file";

/// Writes a new key file, encrypted if there is a passphrase: mode 0600, never over an existing file,
/// complete or not at all, and durable on return.
pub fn create_key_file(
    path: &Path,
    key: &PrivateKey,
    passphrase: Option<&Secret>,
) -> Result<(), KeyError> {
    let pem = match passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase)?,
        None => key.to_pkcs8_pem()?,
    };
    private_file::create(path, pem.as_bytes())
}

/// Encrypts a key file with a new passphrase, in one step: its old contents or its new ones are there.
///
/// The file may have been unencrypted. `uri` is its `file:` URI; a source of a passphrase in it is one of
/// the old, and `new` is where the new one comes from, unless it is asked for.
pub fn change_passphrase(
    uri: &KeyUri,
    new: Option<&str>,
    passphrases: &dyn Passphrases,
) -> Result<(), KeyError> {
    let path = uri.path().ok_or(KeyError::Unsupported {
        problem: "only a key in a file has a passphrase that can be changed here",
    })?;
    // The file itself, not a link to it, is what is to be replaced.
    let path =
        path.canonicalize().map_err(|source| KeyError::Read { what: KEY_FILE, path, source })?;
    let place = path.display().to_string();
    let new = new.map(str::parse).transpose()?;
    let pem = read(&path)?;
    let document = match KeyPem::read(&pem, &place)? {
        KeyPem::Plain(document) => document,
        KeyPem::Encrypted(key) => {
            let source = uri.source(PASSPHRASE_SOURCE)?;
            let opens = |passphrase: &Secret| Ok(key.decrypt(passphrase));
            with_passphrase(&place, &uri.to_string(), source.as_ref(), passphrases, opens)?
        }
    };
    // Whatever it is, it has to be a key that signs.
    PrivateKey::from_der(document.as_bytes(), &place, &uri.to_string())?;
    let passphrase = new_passphrase(&place, &uri.to_string(), new.as_ref(), passphrases)?;
    let pem = encrypted::encrypt(document.as_bytes(), &passphrase)?;
    private_file::replace(&path, pem.as_bytes())
}

/// `file:PATH`.
pub(crate) struct FileBackend;

impl KeyBackend for FileBackend {
    fn scheme(&self) -> &'static str {
        "file"
    }

    fn form(&self) -> &'static str {
        "file:PATH"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &[PASSPHRASE_SOURCE, "development"]
    }

    fn check(&self, uri: KeyUri) -> Result<KeyUri, KeyError> {
        let path = uri.decoded_place();
        match path.is_empty() || path.contains(&0) {
            true => Err(invalid("`file:` must go on with a path")),
            false => Ok(uri.with_place(encode(&path))),
        }
    }

    fn open(
        &self,
        uri: &KeyUri,
        passphrases: &dyn Passphrases,
    ) -> Result<Box<dyn Signer>, KeyError> {
        let path = uri.path().unwrap_or_default();
        let pem = read(&path)?;
        let place = format!("the key file {}", path.display());
        Ok(Box::new(stored::open(&pem, &place, uri, passphrases)?))
    }

    fn generate(
        &self,
        uri: &KeyUri,
        scheme: Scheme,
        passphrases: &dyn Passphrases,
    ) -> Result<KeyInfo, KeyError> {
        let path = uri.path().unwrap_or_default();
        // Before anybody is asked for a passphrase; what counts is that the file is created below.
        if path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists { path });
        }
        let (key, pem) = stored::generate(&path.display().to_string(), uri, scheme, passphrases)?;
        private_file::create(&path, pem.as_bytes())?;
        let protection = match KeyPem::read(&pem, &path.display().to_string())? {
            KeyPem::Plain(_) => Protection::Unencrypted,
            KeyPem::Encrypted(key) => Protection::Encrypted(key.encryption()),
        };
        let public_key = Some(key.public_key().clone());
        Ok(KeyInfo { uri: uri.clone(), public_key, protection, problem: None })
    }

    fn inspect(&self, uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<KeyInfo, KeyError> {
        let path = uri.path().unwrap_or_default();
        let (contents, mode) = private_file::read_whoever_may(&path, KEY_FILE, MAX_KEY_LENGTH)?;
        let place = path.display().to_string();
        let text = text_of(&contents, &place)?;
        if let Some(public_key) = PublicKey::from_pem(text) {
            let (protection, public_key) = (Protection::PublicOnly, Some(public_key));
            return Ok(KeyInfo { uri: uri.clone(), public_key, protection, problem: None });
        }
        let mut info = stored::inspect(text, &place, uri, passphrases)?;
        if mode & 0o077 != 0 {
            info.problem = Some(KeyError::Exposed { what: KEY_FILE, path, mode }.to_string());
        }
        Ok(info)
    }

    /// Those in a folder, or the one of a file.
    fn list(&self, uri: &KeyUri) -> Result<Vec<KeyInfo>, KeyError> {
        let folder = uri.path().unwrap_or_default();
        if !folder.is_dir() {
            return Ok(vec![self.inspect(uri, &Nobody)?]);
        }
        let unreadable = |source| KeyError::Read { what: "folder", path: folder.clone(), source };
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut paths: Vec<_> =
            entries.map_err(unreadable)?.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        let mut found = Vec::new();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let uri = KeyUri::file(&path);
            match self.inspect(&uri, &Nobody) {
                // That it is not encrypted is said, and whoever lists it has not claimed otherwise.
                Ok(info) => found.push(info),
                Err(error) if path.extension().is_some_and(|end| end == "pem") => {
                    let (protection, problem) = (Protection::Unknown, Some(error.to_string()));
                    found.push(KeyInfo { uri, public_key: None, protection, problem });
                }
                // Other files are no keys.
                Err(_) => {}
            }
        }
        Ok(found)
    }

    fn check_scheme(&self, _: &KeyUri, _: Scheme) -> Result<(), KeyError> {
        Ok(())
    }
}

/// The text of a key file that nobody but its owner can read.
fn read(path: &Path) -> Result<zeroize::Zeroizing<String>, KeyError> {
    let contents = private_file::read(path, KEY_FILE, MAX_KEY_LENGTH)?;
    Ok(zeroize::Zeroizing::new(text_of(&contents, &path.display().to_string())?.to_owned()))
}

fn text_of<'a>(contents: &'a [u8], place: &str) -> Result<&'a str, KeyError> {
    str::from_utf8(contents).map_err(|_| KeyError::Malformed {
        place: place.to_owned(),
        problem: "is not text, so not PEM",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use std::process::Command;

    use waxseal_testkit::peers;

    use super::*;
    use crate::{Scheme, Wanted, inspect, list};

    const PASSPHRASE: &str = "unpaved giddily reenter slum ladybug";

    /// Somebody who answers so, each once, and is then gone.
    struct Answers(std::sync::Mutex<Vec<&'static str>>);

    impl Answers {
        fn new(answers: &[&'static str]) -> Self {
            Self(answers.iter().rev().copied().collect::<Vec<_>>().into())
        }
    }

    impl Passphrases for Answers {
        fn ask(&self, _: &crate::Question<'_>) -> std::io::Result<Option<Secret>> {
            Ok(self.0.lock().unwrap().pop().map(|answer| Secret::new(answer.to_owned())))
        }
    }

    /// With the development flag, and nobody to ask.
    fn open(path: &Path) -> Result<Box<dyn Signer>, KeyError> {
        crate::open(&KeyUri::file(path).with_development(), &Nobody)
    }

    fn secret() -> Secret {
        Secret::new(PASSPHRASE.to_owned())
    }

    fn private(path: &Path) {
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    #[test]
    fn a_created_file_is_private_and_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("online.pem");
        let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
        create_key_file(&path, &key, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let opened = open(&path).unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn an_existing_file_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "the old key").unwrap();
        symlink(folder.path().join("nowhere"), &link).unwrap();
        for path in [&file, &link] {
            let error = create_key_file(path, &key, None).unwrap_err();
            assert!(matches!(&error, KeyError::Exists { path: p } if p == path), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"the old key");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file is left");
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("online.pem");
        create_key_file(&path, &PrivateKey::generate(Scheme::Ed25519).unwrap(), None).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = open(&path).unwrap_err();
            assert!(matches!(&error, KeyError::Exposed { mode: m, .. } if *m == mode), "{error}");
            assert!(error.to_string().contains(&format!("`chmod 600 {}`", path.display())));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(open(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (contents, problem) in [
            (&b""[..], "not a key in PEM"),
            (b"\xff\xfe", "not text"),
            (&vec![b'a'; 20_000], "too long"),
        ] {
            fs::write(&path, contents).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        let folder_error = open(folder.path()).unwrap_err();
        assert!(folder_error.to_string().ends_with("is not a file"), "{folder_error}");
        let missing = open(&folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, KeyError::Read { .. }), "{missing}");
        let nowhere = folder.path().join("none/key");
        let error =
            create_key_file(&nowhere, &PrivateKey::generate(Scheme::Ed25519).unwrap(), None)
                .unwrap_err();
        assert!(matches!(error, KeyError::Write { .. }), "{error}");
    }

    /// OpenSSL reads what is written here, and what it writes is read here.
    #[test]
    fn openssl_reads_and_writes_the_same_files() {
        let openssl = |arguments: &[&str], path: &Path| {
            let run = std::process::Command::new("openssl").args(arguments).arg(path).output();
            let run = run.expect("missing peer openssl: run `cargo xtask peers`");
            assert!(run.status.success(), "{run:?}");
            run
        };
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().join("ours.pem");
        let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
        create_key_file(&ours, &key, None).unwrap();
        let run = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"], &ours);
        // SubjectPublicKeyInfo ends in the 32 bytes of the key.
        let public = run.stdout.last_chunk::<32>().unwrap();
        assert_eq!(key.public_key(), &waxseal_tuf::PublicKey::ed25519(*public));

        let theirs = folder.path().join("theirs.pem");
        openssl(&["genpkey", "-algorithm", "ED25519", "-out"], &theirs);
        fs::set_permissions(&theirs, Permissions::from_mode(0o600)).unwrap();
        let signer = open(&theirs).unwrap();
        let signature = signer.sign(b"m").unwrap();
        assert!(signer.public_key().verifies(b"m", &signature));
    }

    #[test]
    fn an_unencrypted_key_signs_only_where_its_uri_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        create_key_file(&path, &PrivateKey::generate(Scheme::Ed25519).unwrap(), None).unwrap();
        let error = crate::open(&KeyUri::file(&path), &Nobody).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, KeyError::Unencrypted { .. }), "{text}");
        let uri = KeyUri::file(&path);
        for part in [format!("`waxseal key passphrase {uri}`"), format!("\"{uri}?development\"")] {
            assert!(text.contains(&part), "{text}");
        }
        open(&path).unwrap();
    }

    #[test]
    fn an_encrypted_key_takes_its_passphrase_from_its_source_or_a_person() {
        let folder = tempfile::tempdir().unwrap();
        let (path, source) = (folder.path().join("k.pem"), folder.path().join("passphrase"));
        let key = PrivateKey::generate(Scheme::EcdsaP256).unwrap();
        create_key_file(&path, &key, Some(&secret())).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{text}");

        let uri = KeyUri::file(&path);
        let opened =
            crate::open(&uri, &Answers::new(&["wrong", "also wrong", PASSPHRASE])).unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        let error = crate::open(&uri, &Answers::new(&["a", "b", "c", PASSPHRASE])).unwrap_err();
        assert!(matches!(&error, KeyError::WrongPassphrase { .. }), "{error}");
        let error = crate::open(&uri, &Nobody).unwrap_err().to_string();
        for part in ["run this at one", "passphrase-source=file:PATH", "passphrase-source=env:NAME"]
        {
            assert!(error.contains(part), "{error}");
        }

        fs::write(&source, format!("{PASSPHRASE}\n")).unwrap();
        private(&source);
        let with_source: KeyUri =
            format!("{uri}?passphrase-source=file:{}", source.display()).parse().unwrap();
        crate::open(&with_source, &Nobody).unwrap();
        fs::write(&source, "sesame").unwrap();
        let error = crate::open(&with_source, &Nobody).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("does not open") && !shown.contains("sesame"), "{shown}");
        // The development flag lets an unencrypted key sign; it does not ask for less of this one.
        assert!(matches!(open(&path), Err(KeyError::NoPassphrase { .. })));
    }

    #[test]
    fn a_new_key_is_encrypted_with_a_strong_passphrase_that_was_typed_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        let uri = KeyUri::file(&path);
        let other = "unpaved giddily reenter slum ladybugs";
        for (answers, problem) in [
            (&["short"; 3][..], "too weak: it has fewer than 12"),
            (&["password password"; 3], "too weak: it is worth"),
            (&[PASSPHRASE, other, PASSPHRASE, other, PASSPHRASE, other], "not the same"),
            (&[], "a new passphrase is needed"),
        ] {
            let error = crate::generate(&uri, Scheme::Ed25519, &Answers::new(answers)).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(problem) && !shown.contains("giddily"), "{shown}");
            assert!(!path.exists());
        }
        let answers = Answers::new(&["short", PASSPHRASE, PASSPHRASE]);
        let info = crate::generate(&uri, Scheme::Ed25519, &answers).unwrap();
        assert!(matches!(&info.protection, Protection::Encrypted(_)), "{info:?}");
        let opened = crate::open(&uri, &Answers::new(&[PASSPHRASE])).unwrap();
        assert_eq!(Some(opened.public_key()), info.public_key.as_ref());
        let again = crate::generate(&uri, Scheme::Ed25519, &Nobody).unwrap_err();
        assert!(matches!(again, KeyError::Exists { .. }), "{again}");
    }

    #[test]
    fn a_passphrase_is_set_and_changed_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pem");
        let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
        create_key_file(&path, &key, None).unwrap();
        let uri = KeyUri::file(&path);
        change_passphrase(&uri, None, &Answers::new(&[PASSPHRASE, PASSPHRASE])).unwrap();
        let before = fs::read(&path).unwrap();
        let error = change_passphrase(&uri, None, &Answers::new(&["wrong"])).unwrap_err();
        assert!(matches!(error, KeyError::WrongPassphrase { .. }), "{error}");
        let error =
            change_passphrase(&uri, None, &Answers::new(&[PASSPHRASE, "weak"])).unwrap_err();
        assert!(matches!(error, KeyError::WeakPassphrase { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);

        let new = "k7Qw9Zr2Xv5Tn8";
        change_passphrase(&uri, None, &Answers::new(&[PASSPHRASE, new, new])).unwrap();
        let opened = crate::open(&uri, &Answers::new(&[new])).unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        assert!(crate::open(&uri, &Answers::new(&[PASSPHRASE])).is_err());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn a_folder_is_listed_and_nobody_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = PrivateKey::generate(Scheme::EcdsaP256).unwrap();
        create_key_file(&path("a.pem"), &key, Some(&secret())).unwrap();
        create_key_file(&path("b.pem"), &key, None).unwrap();
        fs::write(path("c.pem"), key.public_key().to_pem().unwrap()).unwrap();
        fs::write(path("d.pem"), "no key").unwrap();
        fs::write(path("upload-token"), "no key").unwrap();
        let found = list(&KeyUri::file(folder.path())).unwrap();
        let protections: Vec<_> = found.iter().map(|info| info.protection.to_string()).collect();
        assert_eq!(
            protections,
            [
                "passphrase (AES-256-CBC, scrypt N=16384 r=15 p=8)",
                "none (unencrypted)",
                "public key",
                "unknown"
            ]
        );
        let known: Vec<_> = found.iter().map(|info| info.public_key.is_some()).collect();
        assert_eq!(known, [false, true, true, false]);
        let unlocked =
            inspect(&KeyUri::file(&path("a.pem")), &Answers::new(&[PASSPHRASE])).unwrap();
        assert_eq!(unlocked.public_key.as_ref(), Some(key.public_key()));
        assert_eq!(unlocked.problem, None);
    }

    /// What `program` says of a passphrase on its standard input.
    fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], path: &Path) -> Vec<u8> {
        let run = Command::new(program).args(arguments).arg(path).env("PASS", PASSPHRASE).output();
        let run = run.expect("missing peer: run `cargo xtask peers`");
        assert!(run.status.success(), "{run:?}");
        run.stdout
    }

    #[test]
    fn openssl_and_pythons_cryptography_read_what_is_encrypted_here() {
        let folder = tempfile::tempdir().unwrap();
        for scheme in Scheme::ALL {
            let path = folder.path().join(scheme.name());
            let key = PrivateKey::generate(scheme).unwrap();
            create_key_file(&path, &key, Some(&secret())).unwrap();
            let pem = run("openssl", &["pkey", "-passin", "env:PASS", "-pubout", "-in"], &path);
            assert_eq!(String::from_utf8(pem).unwrap(), key.public_key().to_pem().unwrap());
            let read = "import os, sys\n\
                        from cryptography.hazmat.primitives import serialization as s\n\
                        pem = open(sys.argv[1], 'rb').read()\n\
                        key = s.load_pem_private_key(pem, os.environ['PASS'].encode())\n\
                        form = s.PublicFormat.SubjectPublicKeyInfo\n\
                        sys.stdout.buffer.write(key.public_key().public_bytes(s.Encoding.PEM, form))";
            let pem = run(peers::python(), &["-c", read], &path);
            assert_eq!(String::from_utf8(pem).unwrap(), key.public_key().to_pem().unwrap());
        }
    }

    #[test]
    fn what_openssl_and_pythons_cryptography_encrypt_is_read_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let plain = path("plain");
        run("openssl", &["genpkey", "-algorithm", "ED25519", "-out"], &plain);
        let convert = |options: &[&str], to: &Path| {
            let convert = ["pkcs8", "-topk8", "-passout", "env:PASS", "-in"];
            let plain = [plain.to_str().unwrap()];
            run("openssl", &[&convert, &plain[..], options, &["-out"]].concat(), to);
        };
        convert(&[], &path("pbkdf2"));
        convert(&["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"], &path("sha512"));
        convert(&["-scrypt"], &path("scrypt"));
        convert(&["-v1", "PBE-SHA1-3DES"], &path("old"));
        let write = "import os, sys\n\
                     from cryptography.hazmat.primitives import serialization as s\n\
                     from cryptography.hazmat.primitives.asymmetric import ec\n\
                     key = ec.generate_private_key(ec.SECP256R1())\n\
                     way = s.BestAvailableEncryption(os.environ['PASS'].encode())\n\
                     pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, way)\n\
                     open(sys.argv[1], 'wb').write(pem)";
        run(peers::python(), &["-c", write], &path("python"));
        for (name, kdf) in [
            ("pbkdf2", "AES-256-CBC, PBKDF2 SHA-256 iterations=2048"),
            ("sha512", "AES-128-CBC, PBKDF2 SHA-512 iterations=2048"),
            ("scrypt", "AES-256-CBC, scrypt N=16384 r=8 p=1"),
            ("python", "AES-256-CBC, PBKDF2 SHA-256 iterations="),
        ] {
            private(&path(name));
            let uri = KeyUri::file(&path(name));
            let signer = crate::open(&uri, &Answers::new(&[PASSPHRASE])).unwrap();
            assert!(signer.public_key().verifies(b"m", &signer.sign(b"m").unwrap()));
            let info = inspect(&uri, &Nobody).unwrap();
            let protection = info.protection.to_string();
            assert!(protection.starts_with(&format!("passphrase ({kdf}")), "{protection}");
        }
        private(&path("old"));
        let error = crate::open(&KeyUri::file(&path("old")), &Answers::new(&[PASSPHRASE]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`openssl pkey -aes256 -in OLD -out NEW` rewrites it"), "{error}");
    }

    /// The question is about the kind of secret that is wanted.
    #[test]
    fn questions_are_prompts() {
        let question =
            |wanted| crate::Question { wanted, place: "k.pem", remark: None }.to_string();
        assert_eq!(question(Wanted::Passphrase), "Passphrase of k.pem: ");
        assert_eq!(question(Wanted::NewPassphrase), "New passphrase for k.pem: ");
    }
}
