//! Running pip, with and without Waxseal, so that nothing of the user's is touched or seen by it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::failure::{Exit, Failure};

/// The longest that any command may take.
const LONGEST: Duration = Duration::from_mins(2);

/// Variables that would change what pip or waxseal does.
const SETTINGS: [&str; 8] =
    ["PIP_", "UV_", "WAXSEAL_", "XDG_", "PYTHON", "GIT_CONFIG", "COLUMNS", "NO_COLOR"];

/// The pip of this machine.
#[derive(Debug, Clone)]
pub(super) struct Pip {
    /// `pip 26.3`.
    pub(super) version: String,
    /// Where programs are looked for, with a `pip` before all others.
    path: OsString,
    home: PathBuf,
    /// For what pip leaves behind when it is ended.
    scratch: PathBuf,
}

/// A command that came to its end, or was ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    /// `None` where it was ended.
    pub(super) exit: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) took: Duration,
    pub(super) installed: Vec<Installed>,
}

/// Something that was installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Installed {
    pub(super) name: String,
    pub(super) version: String,
    /// The text of its module.
    pub(super) says: String,
}

impl Pip {
    /// Finds pip: the one of the active environment, or that of Python.
    pub(super) async fn find(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("home");
        let scratch = folder.join("tmp");
        let programs = folder.join("bin");
        [&home, &scratch, &programs].into_iter().try_for_each(fs::create_dir_all)?;
        let mut path = vec![programs.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(path).context("PATH cannot be read")?;
        let this = Self { version: String::new(), path, home, scratch };
        for (words, wrapper) in [
            (["pip", ""].as_slice(), ""),
            (&["pip3"], "exec pip3 \"$@\""),
            (&["python3", "-m", "pip"], "exec python3 -m pip \"$@\""),
        ] {
            let mut command = this.command(words[0]);
            command.args(words[1..].iter().filter(|word| !word.is_empty())).arg("--version");
            let run = match run(command, None).await {
                Ok(run) if run.exit == Some(0) => run,
                _ => continue,
            };
            if !wrapper.is_empty() {
                let pip = programs.join("pip");
                fs::write(&pip, format!("#!/bin/sh\n{wrapper}\n"))?;
                fs::set_permissions(&pip, fs::Permissions::from_mode(0o755))?;
            }
            let version = run.stdout.split(" from ").next().unwrap_or_default().trim().to_owned();
            return Ok(Self { version, ..this });
        }
        Err(Failure::new(
            Exit::Failed,
            "there is no pip to show the attacks with",
            "install pip, or activate an environment that has it: python3 -m venv .venv && \
             . .venv/bin/activate",
        )
        .into())
    }

    /// `pip install greet` with an index, and perhaps another one, into `target`; ended after `limit`.
    pub(super) async fn plain(
        &self,
        index: &str,
        extra: Option<&str>,
        target: &Path,
        limit: Option<Duration>,
    ) -> anyhow::Result<Run> {
        let mut command = self.command("pip");
        command.args(["install", "greet"]).env("PIP_INDEX_URL", format!("{index}/simple/"));
        if let Some(extra) = extra {
            command.args(["--extra-index-url", &format!("{extra}/simple/")]);
        }
        installing(command, target, limit).await
    }

    /// `waxseal pip install greet` with what is trusted in `trust`, and perhaps a mirror, into `target`.
    pub(super) async fn verified(
        &self,
        trust: &Path,
        mirror: Option<&str>,
        target: &Path,
    ) -> anyhow::Result<Run> {
        let mut command = self.waxseal(trust)?;
        command.arg("pip");
        if let Some(mirror) = mirror {
            command.args(["--mirror", mirror]);
        }
        command.args(["install", "greet"]);
        installing(command, target, None).await
    }

    /// `waxseal trust add`.
    pub(super) async fn trust_add(
        &self,
        trust: &Path,
        url: &str,
        fingerprint: &str,
    ) -> anyhow::Result<Run> {
        let mut command = self.waxseal(trust)?;
        command.args(["trust", "add", url, "--fingerprint", fingerprint]);
        run(command, None).await
    }

    fn waxseal(&self, trust: &Path) -> anyhow::Result<Command> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let mut command = self.command(own);
        // The cache of verified files answers without the mirror: nobody has another one's.
        command
            .env("WAXSEAL_TRUST_DIR", trust)
            .env("WAXSEAL_CACHE_DIR", trust.with_file_name("cache"));
        Ok(command)
    }

    /// A command as on a machine where nothing is set up.
    fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_uppercase();
            if text.ends_with("_PROXY") || SETTINGS.iter().any(|start| text.starts_with(start)) {
                command.env_remove(name);
            }
        }
        command
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            .env("TMPDIR", &self.scratch)
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_CACHE_DIR", "1")
            .env("PIP_NO_INPUT", "1")
            // Messages are wrapped where they are shown.
            .env("COLUMNS", "1000")
            .env("NO_COLOR", "1");
        command
    }
}

async fn installing(
    mut command: Command,
    target: &Path,
    limit: Option<Duration>,
) -> anyhow::Result<Run> {
    command.env("PIP_TARGET", target);
    let run = run(command, limit).await?;
    Ok(Run { installed: installed(target)?, ..run })
}

async fn run(mut command: Command, limit: Option<Duration>) -> anyhow::Result<Run> {
    // In a group of its own: Ctrl-C reaches this program alone, which ends all of them.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let ended = tokio::time::timeout(limit.unwrap_or(LONGEST), child.wait_with_output()).await;
    let took = begun.elapsed();
    match ended {
        Ok(output) => {
            let output = output?;
            group.forget();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let (stdout, stderr) = (text(output.stdout), text(output.stderr));
            Ok(Run { exit: output.status.code(), stdout, stderr, took, ..Run::default() })
        }
        Err(_) if limit.is_some() => Ok(Run { took, ..Run::default() }),
        Err(_) => anyhow::bail!("{program} did not end within {} s", LONGEST.as_secs()),
    }
}

/// Processes that end with this.
struct Group(Option<Pid>);

impl Group {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that has ended needs nothing.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What lies in a folder that pip installed into.
fn installed(target: &Path) -> anyhow::Result<Vec<Installed>> {
    let mut installed = Vec::new();
    if !target.exists() {
        return Ok(installed);
    }
    for entry in fs::read_dir(target)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(release) = name.strip_suffix(".dist-info") else { continue };
        let Some((name, version)) = release.rsplit_once('-') else { continue };
        let module = fs::read_to_string(target.join(format!("{name}.py"))).unwrap_or_default();
        let says = module.trim().trim_matches('"').to_owned();
        installed.push(Installed { name: name.to_owned(), version: version.to_owned(), says });
    }
    installed.sort();
    Ok(installed)
}
