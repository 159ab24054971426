//! The libraries that speak to tokens, loaded once each, and started anew where a token was taken out.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::error::{TokenError, text};
use crate::secret::Secret;
use crate::uri::KeyUri;

/// Where distributions put modules, for `module-name`.
const FOLDERS: [&str; 10] = [
    "/usr/lib/pkcs11",
    "/usr/lib/softhsm",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib64",
    "/usr/lib64/pkcs11",
    "/usr/local/lib",
    "/opt/homebrew/lib",
];

/// A library may be started once in a process.
static MODULES: LazyLock<Mutex<BTreeMap<PathBuf, Arc<Module>>>> = LazyLock::new(Mutex::default);

/// A library and what is open in it.
#[derive(Debug)]
pub(super) struct Module {
    path: PathBuf,
    loaded: RwLock<Option<Loaded>>,
    /// By the token's serial number and name.
    pins: Mutex<BTreeMap<String, Pin>>,
}

/// A library that was started.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) context: Pkcs11,
    /// How often it was started.
    pub(super) generation: u64,
    /// Sessions that are logged in and not in use, by the number of their key. They live here so that all
    /// of them are closed before the library is started anew.
    idle: Mutex<BTreeMap<u64, Vec<Ready>>>,
}

/// A session that can sign.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) key: ObjectHandle,
}

/// What is known of a token's PIN.
#[derive(Debug, Clone)]
pub(super) enum Pin {
    /// The token took it. It is kept, since a server has to log in again when the token was out.
    Known(Secret),
    /// It is typed at the token itself, or not needed.
    None,
    /// The token refused it: it is not tried again.
    Refused,
}

impl Module {
    /// The module that a URI means.
    pub(super) fn of(uri: &KeyUri) -> Result<Arc<Self>, TokenError> {
        let path = match (uri.attribute("module-path"), uri.attribute("module-name")) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(name)) => find(name)?,
            (None, None) => env::var_os("WAXSEAL_PKCS11_MODULE")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .ok_or_else(|| TokenError::NoModule { uri: uri.to_string() })?,
        };
        // One library must not be started under two names.
        let path = path.canonicalize().map_err(|error| TokenError::Module {
            module: path.display().to_string(),
            problem: error.to_string(),
        })?;
        let mut modules = lock(&MODULES);
        let module = modules.entry(path.clone()).or_insert_with(|| {
            Arc::new(Self { path, loaded: RwLock::default(), pins: Mutex::default() })
        });
        Ok(Arc::clone(module))
    }

    /// Does something with the library, which is started first where it is not.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Loaded) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(loaded) = loaded.as_ref() {
                return work(loaded);
            }
        }
        self.start(None)?;
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        match loaded.as_ref() {
            Some(loaded) => work(loaded),
            None => Err(self.failed("it was stopped meanwhile")),
        }
    }

    /// Starts the library anew, unless another thread did so since `generation`: many see a token that was
    /// taken out and put back only then.
    pub(super) fn restart(&self, generation: u64) -> Result<(), TokenError> {
        self.start(Some(generation))
    }

    pub(super) fn pin(&self, token: &str) -> Option<Pin> {
        lock(&self.pins).get(token).cloned()
    }

    pub(super) fn remember(&self, token: &str, pin: Pin) {
        lock(&self.pins).insert(token.to_owned(), pin);
    }

    fn start(&self, seen: Option<u64>) -> Result<(), TokenError> {
        // Nothing is called in the library while this is held.
        let mut slot = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let mut generation = 0;
        if let Some(loaded) = slot.take() {
            if seen != Some(loaded.generation) {
                *slot = Some(loaded);
                return Ok(());
            }
            generation = loaded.generation + 1;
            drop(loaded.idle);
            // A library that cannot end may still start.
            let _ = loaded.context.finalize();
        }
        let context = Pkcs11::new(&self.path).map_err(|error| self.failed(&text(&error)))?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(self.failed(&text(&error))),
        }
        *slot = Some(Loaded { context, generation, idle: Mutex::default() });
        Ok(())
    }

    fn failed(&self, problem: &str) -> TokenError {
        TokenError::Module { module: self.path.display().to_string(), problem: problem.to_owned() }
    }
}

impl Loaded {
    /// A session of a key that is not in use.
    pub(super) fn take(&self, key: u64) -> Option<Ready> {
        lock(&self.idle).get_mut(&key)?.pop()
    }

    /// Puts a session back.
    pub(super) fn put(&self, key: u64, ready: Ready) {
        lock(&self.idle).entry(key).or_default().push(ready);
    }

    /// Closes the sessions of a key that are not in use.
    pub(super) fn forget(&self, key: u64) {
        drop(lock(&self.idle).remove(&key));
    }
}

/// The file of `module-name`, such as `softhsm2` (RFC 7512, 2.4).
fn find(name: &str) -> Result<PathBuf, TokenError> {
    let files = [format!("lib{name}.so"), format!("{name}.so"), format!("{name}-pkcs11.so")];
    let paths =
        FOLDERS.iter().flat_map(|folder| files.iter().map(|file| Path::new(folder).join(file)));
    paths.into_iter().find(|path| path.is_file()).ok_or_else(|| TokenError::Module {
        module: name.to_owned(),
        problem: format!("there is no {} in {}", files.join(" or "), FOLDERS.join(", ")),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
