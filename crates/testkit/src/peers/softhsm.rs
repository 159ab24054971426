//! Tokens in software, each in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::CleanCommand;

/// The module of Debian's package.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A `SoftHSM` with one token, whose files go away when dropped.
#[derive(Debug)]
pub struct SoftHsm {
    folder: PathBuf,
    _gone_when_dropped: Option<TempDir>,
}

impl SoftHsm {
    /// The PIN of each token.
    pub const PIN: &str = "1234-sesame";

    /// A token of this name.
    ///
    /// # Panics
    /// If `SoftHSM` is missing.
    pub fn new(label: &str) -> Self {
        assert!(Path::new(MODULE).exists(), "missing peer SoftHSM: run `cargo xtask peers`");
        let folder = tempfile::tempdir()
            .unwrap_or_else(|error| panic!("cannot make a temporary folder: {error}"));
        let this = Self { folder: folder.path().to_owned(), _gone_when_dropped: Some(folder) };
        let tokens = this.tokens();
        fs::create_dir(&tokens)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", tokens.display()));
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        let config = this.config();
        fs::write(&config, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", config.display()));
        this.add_token(label);
        this
    }

    /// The one that this process was started with, by [`SoftHsm::set_up`]: the module reads its
    /// configuration once in a process, so that tests which use it in their own need one each.
    pub fn of_this_process() -> Option<Self> {
        let config = PathBuf::from(std::env::var_os("SOFTHSM2_CONF")?);
        Some(Self { folder: config.parent()?.to_owned(), _gone_when_dropped: None })
    }

    /// Sets up another token.
    pub fn add_token(&self, label: &str) {
        let command =
            self.command("softhsm2-util").args(["--init-token", "--free", "--label", label]);
        command.args(["--pin", Self::PIN, "--so-pin", "so-sesame"]).run().success();
    }

    /// A command that finds the tokens.
    pub fn command(&self, program: &str) -> CleanCommand {
        self.set_up(CleanCommand::new(program))
    }

    /// The variables with which a program finds the tokens.
    #[must_use]
    pub fn set_up(&self, command: CleanCommand) -> CleanCommand {
        command.env("SOFTHSM2_CONF", self.config()).env("WAXSEAL_PKCS11_MODULE", MODULE)
    }

    /// The module's library.
    pub fn module(&self) -> &'static str {
        MODULE
    }

    /// The configuration that `SOFTHSM2_CONF` names.
    pub fn config(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// The folder in which each token is a folder.
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// Takes every token out.
    ///
    /// # Panics
    /// If they are out.
    pub fn take_out(&self) {
        rename(&self.tokens(), &self.away());
        let tokens = self.tokens();
        fs::create_dir(&tokens)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", tokens.display()));
    }

    /// Puts them back.
    ///
    /// # Panics
    /// If they are not out.
    pub fn put_back(&self) {
        let tokens = self.tokens();
        fs::remove_dir_all(&tokens)
            .unwrap_or_else(|error| panic!("cannot remove {}: {error}", tokens.display()));
        rename(&self.away(), &tokens);
    }

    fn away(&self) -> PathBuf {
        self.folder.join("away")
    }
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to)
        .unwrap_or_else(|error| panic!("cannot move {} away: {error}", from.display()));
}
