//! A machine on no network, and the people who hold a key ceremony there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use tempfile::TempDir;
use waxseal_testkit::peers::{CleanCommand, Outcome, SoftHsm};

use super::{Terminal, WAXSEAL, on_terminal, waxseal};

/// A folder with a plan and keys; `pass` has the passphrase of every key that is not typed.
pub(crate) struct Offline {
    folder: TempDir,
    token: Option<SoftHsm>,
}

impl Offline {
    pub(crate) const PASSPHRASE: &str = "unpaved giddily reenter slum ladybug";

    pub(crate) fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap(), token: None };
        fs::write(this.path("pass"), format!("{}\n", Self::PASSPHRASE)).unwrap();
        fs::set_permissions(this.path("pass"), Permissions::from_mode(0o600)).unwrap();
        this
    }

    /// The same, with a token in it.
    pub(crate) fn with_token(token: SoftHsm) -> Self {
        Self { token: Some(token), ..Self::new() }
    }

    pub(crate) fn token(&self) -> &SoftHsm {
        self.token.as_ref().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set_up(&self, command: CleanCommand) -> CleanCommand {
        let command = command.current_dir(self.folder.path()).home(self.folder.path());
        match &self.token {
            Some(token) => token.set_up(command).env("PIN", SoftHsm::PIN),
            None => command,
        }
    }

    /// A command whose words have no blanks, where nobody is at the keyboard.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.set_up(waxseal(line.split_whitespace())).run()
    }

    /// A command at the keyboard: what is waited for, and what is typed then.
    #[track_caller]
    pub(crate) fn typed(&self, line: &str, answers: &[(&str, &str)]) -> (ExitStatus, String) {
        self.sitting(line, answers).end()
    }

    /// The same, before the command's end.
    #[track_caller]
    pub(crate) fn sitting(&self, line: &str, answers: &[(&str, &str)]) -> Terminal {
        let command = on_terminal(WAXSEAL, line.split_whitespace());
        let mut terminal = Terminal::start(self.set_up(command));
        for (question, answer) in answers {
            terminal.answer(question, answer);
        }
        terminal
    }

    /// A ceremony that ends well: `yes` to all questions but those that are named.
    #[track_caller]
    pub(crate) fn perform(&self, words: &str, answers: &[(&str, &str)]) -> String {
        let (status, screen) = self.typed(&format!("ceremony perform {words}"), answers);
        assert!(status.success(), "{screen}");
        screen
    }

    /// A key in `NAME.pem`, its public half in `NAME.pub`; gives its URI.
    pub(crate) fn key(&self, name: &str) -> String {
        let uri = format!("file:{name}.pem?passphrase-source=file:pass");
        self.run(&format!("key generate {uri} --public {name}.pub")).success();
        uri
    }

    /// A new plan with some lines changed.
    pub(crate) fn plan(&self, words: &str, name: &str, changes: &[(&str, &str)]) {
        self.run(&format!("ceremony plan {words} --output {name}")).success();
        let mut text = fs::read_to_string(self.path(name)).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "{old:?} is not in the plan:\n{text}");
            text = text.replacen(old, new, 1);
        }
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn into_folder(self) -> TempDir {
        self.folder
    }
}
