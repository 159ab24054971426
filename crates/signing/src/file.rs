//! Private keys in files: written once, durable, and for their owner alone.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::private_key::PrivateKey;
use crate::uri::KeyUri;

/// More than any PEM file with one key has, in bytes.
const MAX_LENGTH: u64 = 16 << 10;

/// Writes a new key file: mode 0600, never over an existing file, complete or not at all, and
/// durable on return.
pub fn create_key_file(path: &Path, key: &PrivateKey) -> Result<(), KeyError> {
    let pem = key.to_pkcs8_pem()?;
    write_durably(path, pem.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Write { path: path.to_owned(), source },
    })
}

fn write_durably(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // A temporary file has mode 0600 from its creation: at no moment can others open the key.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Reads a key file that nobody but its owner can read.
pub(crate) fn read_key_file(path: &Path) -> Result<PrivateKey, KeyError> {
    let unreadable = |source| KeyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let place = path.display().to_string();
    let malformed = |problem| KeyError::Malformed { place: place.clone(), problem };
    if !metadata.is_file() {
        return Err(malformed("is not a file"));
    }
    check_exposure(path, &metadata)?;
    // With room for all of it, so that no copy of a key is left behind by growing.
    let mut contents = Zeroizing::new(Vec::with_capacity(32 << 10));
    file.take(MAX_LENGTH + 1).read_to_end(&mut contents).map_err(unreadable)?;
    if contents.len() as u64 > MAX_LENGTH {
        return Err(malformed("is too long for a key file"));
    }
    let pem = str::from_utf8(&contents).map_err(|_| malformed("is not text, so not PEM"))?;
    PrivateKey::read_pem(pem, &place, &KeyUri::File(path.to_owned()).to_string())
}

#[cfg(unix)]
fn check_exposure(path: &Path, metadata: &Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(KeyError::Exposed { path: path.to_owned(), mode }),
    }
}

/// Elsewhere files carry no such bits; the folder's access list decides.
#[cfg(not(unix))]
fn check_exposure(_: &Path, _: &Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use waxseal_tuf::Signer;

    use super::*;
    use crate::{Scheme, open};

    #[test]
    fn a_created_file_is_private_and_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("online.pem");
        let key = PrivateKey::generate(Scheme::Ed25519).unwrap();
        create_key_file(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let opened = open(&KeyUri::File(path)).unwrap();
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
            let error = create_key_file(path, &key).unwrap_err();
            assert!(matches!(&error, KeyError::Exists { path: p } if p == path), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"the old key");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file is left");
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("online.pem");
        create_key_file(&path, &PrivateKey::generate(Scheme::Ed25519).unwrap()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = open(&KeyUri::File(path.clone())).unwrap_err();
            assert!(matches!(&error, KeyError::Exposed { mode: m, .. } if *m == mode), "{error}");
            assert!(error.to_string().contains(&format!("`chmod 600 {}`", path.display())));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert!(open(&KeyUri::File(path.clone())).is_ok(), "{mode:o}");
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
            let error = open(&KeyUri::File(path.clone())).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        let folder_error = open(&KeyUri::File(folder.path().to_owned())).unwrap_err();
        assert!(folder_error.to_string().ends_with("is not a file"), "{folder_error}");
        let missing = open(&KeyUri::File(folder.path().join("none"))).unwrap_err();
        assert!(matches!(missing, KeyError::Read { .. }), "{missing}");
        let nowhere = folder.path().join("none/key");
        let error =
            create_key_file(&nowhere, &PrivateKey::generate(Scheme::Ed25519).unwrap()).unwrap_err();
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
        create_key_file(&ours, &key).unwrap();
        let run = openssl(&["pkey", "-pubout", "-outform", "DER", "-in"], &ours);
        // SubjectPublicKeyInfo ends in the 32 bytes of the key.
        let public = run.stdout.last_chunk::<32>().unwrap();
        assert_eq!(key.public_key(), &waxseal_tuf::PublicKey::ed25519(*public));

        let theirs = folder.path().join("theirs.pem");
        openssl(&["genpkey", "-algorithm", "ED25519", "-out"], &theirs);
        fs::set_permissions(&theirs, Permissions::from_mode(0o600)).unwrap();
        let signer = open(&KeyUri::File(theirs)).unwrap();
        let signature = signer.sign(b"m").unwrap();
        assert!(signer.public_key().verifies(b"m", &signature));
    }
}
