//! PKCS#8 in PEM, plain or encrypted with a passphrase by PBES2 (RFC 8018).

use std::fmt;

use aws_lc_rs::rand;
use pkcs8::der::Decode as _;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, Pbkdf2Prf};
use pkcs8::pkcs5::{EncryptionScheme, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::secret::Secret;

const LABEL: &str = "PRIVATE KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

// What making a key out of a passphrase costs. The command line of OpenSSL 3.0 lets scrypt have 32 MiB
// (`SCRYPT_MAX_MEM`), which are 128 * r * (N + 2) + 128 * r * p bytes: with N = 2^14 r may be 15. Python's
// cryptography reads more. Memory is what makes a guess dear, so r is all that is allowed; p makes up for
// the rest in time. Together it costs 128 * N * r * p bytes of mixing, twice what OWASP has at least
// (N = 2^17, r = 8, p = 1), or half a second.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 15;
const SCRYPT_P: u32 = 8;

/// The most that a file may ask for: 1 GiB of memory, and some minutes.
const MAX_SCRYPT_MEMORY: u64 = 1 << 30;
const MAX_SCRYPT_WORK: u64 = 1 << 36;
const MAX_ITERATIONS: u32 = 20_000_000;

/// How a key is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The cipher, such as `AES-256-CBC`.
    pub cipher: String,
    /// How its key is made out of the passphrase, with what that costs.
    pub kdf: String,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.cipher, self.kdf)
    }
}

/// A private key as PEM has it.
pub(crate) enum KeyPem {
    Plain(SecretDocument),
    Encrypted(EncryptedKey),
}

/// A private key that takes a passphrase to read.
pub(crate) struct EncryptedKey {
    info: EncryptedPrivateKeyInfoOwned,
    parameters: Parameters,
}

impl KeyPem {
    /// Reads PEM from `place`, which an error names.
    pub(crate) fn read(pem: &str, place: &str) -> Result<Self, KeyError> {
        let malformed = |problem| KeyError::Malformed { place: place.to_owned(), problem };
        let (label, document) = SecretDocument::from_pem(pem.trim_start()).map_err(|_| {
            malformed("is not a key in PEM (`-----BEGIN ENCRYPTED PRIVATE KEY-----` …)")
        })?;
        match label {
            LABEL => Ok(Self::Plain(document)),
            ENCRYPTED_LABEL => {
                EncryptedKey::read(document.as_bytes()).map(Self::Encrypted).map_err(malformed)
            }
            _ => Err(malformed("is PEM, but not a PKCS#8 `PRIVATE KEY`")),
        }
    }
}

impl EncryptedKey {
    fn read(der: &[u8]) -> Result<Self, &'static str> {
        let foreign = "is encrypted in a way that is not read here (PBES2 with scrypt or PBKDF2 and AES is): \
                       `openssl pkey -aes256 -in OLD -out NEW` rewrites it";
        let info = EncryptedPrivateKeyInfoOwned::from_der(der).map_err(|_| foreign)?;
        let EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
            return Err(foreign);
        };
        let parameters = parameters.clone();
        let too_dear = "asks for more memory or time to open it than a key file may";
        match &parameters.kdf {
            Kdf::Scrypt(scrypt) => {
                let memory =
                    scrypt.cost_parameter.saturating_mul(128 * u64::from(scrypt.block_size));
                let work = memory.saturating_mul(scrypt.parallelization.into());
                if memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK {
                    return Err(too_dear);
                }
            }
            Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MAX_ITERATIONS => return Err(too_dear),
            Kdf::Pbkdf2(pbkdf2) if pbkdf2.prf == Pbkdf2Prf::HmacWithSha1 => return Err(foreign),
            Kdf::Pbkdf2(_) => {}
            _ => return Err(foreign),
        }
        Ok(Self { info, parameters })
    }

    /// The key, or `None` if the passphrase is another one.
    pub(crate) fn decrypt(&self, passphrase: &Secret) -> Option<SecretDocument> {
        // A wrong passphrase shows in the padding, or else in what does not read as a key.
        let document = self.info.decrypt(passphrase.expose()).ok()?;
        PrivateKeyInfoRef::try_from(document.as_bytes()).is_ok().then_some(document)
    }

    pub(crate) fn encryption(&self) -> Encryption {
        let cipher = match &self.parameters.encryption {
            Cipher::Aes128Cbc { .. } => "AES-128-CBC",
            Cipher::Aes192Cbc { .. } => "AES-192-CBC",
            Cipher::Aes256Cbc { .. } => "AES-256-CBC",
            Cipher::Aes128Gcm { .. } => "AES-128-GCM",
            Cipher::Aes256Gcm { .. } => "AES-256-GCM",
            _ => "another cipher",
        };
        let kdf = match &self.parameters.kdf {
            Kdf::Scrypt(scrypt) => format!(
                "scrypt N={} r={} p={}",
                scrypt.cost_parameter, scrypt.block_size, scrypt.parallelization
            ),
            Kdf::Pbkdf2(pbkdf2) => {
                let hash = match pbkdf2.prf {
                    Pbkdf2Prf::HmacWithSha224 => "SHA-224",
                    Pbkdf2Prf::HmacWithSha256 => "SHA-256",
                    Pbkdf2Prf::HmacWithSha384 => "SHA-384",
                    Pbkdf2Prf::HmacWithSha512 => "SHA-512",
                    _ => "SHA-1",
                };
                format!("PBKDF2 {hash} iterations={}", pbkdf2.iteration_count)
            }
            _ => "another way".to_owned(),
        };
        Encryption { cipher: cipher.to_owned(), kdf }
    }
}

/// PEM of a key as PKCS#8 in DER, encrypted.
pub(crate) fn encrypt(der: &[u8], passphrase: &Secret) -> Result<Zeroizing<String>, KeyError> {
    let failed = || KeyError::Crypto { action: "encrypt a key" };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rand::fill(&mut salt).map_err(|_| failed())?;
    rand::fill(&mut iv).map_err(|_| failed())?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| failed())?;
    let parameters =
        Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| failed())?;
    let key = PrivateKeyInfoRef::try_from(der).map_err(|_| failed())?;
    let document =
        key.encrypt_with_params(parameters, passphrase.expose()).map_err(|_| failed())?;
    document.to_pem(ENCRYPTED_LABEL, LineEnding::LF).map_err(|_| failed())
}

/// PEM of a key as PKCS#8 in DER, as it is.
pub(crate) fn plain(der: &[u8]) -> Result<Zeroizing<String>, KeyError> {
    let failed = || KeyError::Crypto { action: "encode a key" };
    let document = SecretDocument::try_from(der).map_err(|_| failed())?;
    document.to_pem(LABEL, LineEnding::LF).map_err(|_| failed())
}
