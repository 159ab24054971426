//! Running pip, uv or another tool so that the index is all it can install from.
//!
//! The tool has the index under its own URL as its only source, and sends every request to a forward
//! proxy that answers for the index: through its environment, and for this run alone. Whatever else would
//! let it take a file from elsewhere is switched off where it comes from the environment or from
//! configuration files, and refused where it is asked for on the command line or in a requirements file,
//! because there the person meant it.

mod arguments;
mod caches;
mod pdm;
mod pip;
mod requirements;
mod sources;
mod uv;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use waxseal_client::{Refreshed, TrustStore};
use waxseal_proxy::{
    Forward, HeldBack, Links, Policy, Proxy, Refusal, Secrets, Settings, SlowFile, in_words,
};

use crate::failure::{Exit, Failure};
use crate::minimum_age::AgeOptions;
use crate::output;
use crate::trust::IndexOptions;

pub(crate) use arguments::Tool;
use sources::Sources;

/// Changes to a child's environment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    set: Vec<(String, String)>,
    removed: Vec<String>,
    /// What was switched off, as one says it: `PIP_FIND_LINKS`, `find-links in /etc/pip.conf`.
    switched_off: Vec<String>,
}

impl Changes {
    fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.set.push((name.into(), value.into()));
    }
}

/// Where the child's own settings come from.
struct Surroundings<'a> {
    variables: &'a [(OsString, OsString)],
    directory: &'a Path,
    /// The folder that the environment's Python lives in: `sys.prefix`.
    prefix: Option<&'a Path>,
}

impl Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }
}

/// How the child of `pip` and `run` is protected.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Protection {
    #[command(flatten)]
    index: IndexOptions,

    #[command(flatten)]
    age: AgeOptions,

    /// A URL or folder that the tool may have as well, unverified; repeatable
    #[arg(long = "allow", value_name = "URL")]
    allowed: Vec<String>,

    /// Let everything of the index through, verified by nobody: for this one command, and only to get past
    /// a defect of the index or of waxseal
    #[arg(long)]
    unsafely_disable_package_verification: bool,
}

/// Runs `program` with `arguments` against the index, and gives its exit code.
///
/// The metadata is refreshed once, before the tool starts: everything it gets is of one moment.
pub(crate) async fn run(
    protection: Protection,
    program: &OsStr,
    arguments: &[OsString],
) -> anyhow::Result<std::process::ExitCode> {
    // Beside all that comes before they are needed.
    let secrets = tokio::task::spawn_blocking(Secrets::generate);
    let directory = std::env::current_dir().context("there is no current folder")?;
    let variables: Vec<_> = std::env::vars_os().collect();
    let prefix = python_prefix(program, &variables);
    let prefix = prefix.as_deref();
    let surroundings = Surroundings { variables: &variables, directory: &directory, prefix };
    let (store, client) = protection.index.store_and_client()?;
    let index = store.index().url.clone();
    let sources = Sources::new(&index, &protection.allowed)?;
    if let Some(tool) = Tool::of(program, arguments) {
        arguments::check(tool, arguments, &sources)?;
        requirements::check(arguments, &surroundings, &sources)?;
    }
    let unverified = protection.unsafely_disable_package_verification;
    if unverified {
        output::alarm(&format!("nothing of {index} is verified in this run"));
    } else {
        // One refresh and one reference time for the whole run (TUF 5.1).
        let refreshed = client.refresh(Timestamp::now()).await.inspect_err(|error| {
            if error.blames_source() {
                output::note(&format!("asked of {}", client.blamed()));
            }
        })?;
        if protection.index.is_offline() {
            say_how_old(&store, refreshed);
        }
    }
    let minimum_age = protection.age.minimum_age()?;
    let settings = Settings {
        refresh_after: None,
        links: Links::Kept,
        minimum_age,
        slow_file: Some(Arc::new(say_how_far)),
        ..Settings::default()
    };
    let proxy = Proxy::new(client, settings);
    let policy = Policy { allowed: sources.allowed_urls().to_vec(), index_unverified: unverified };
    let forward = Forward::bind(proxy.clone(), policy, secrets.await??).await?;
    let authority = Authority::write(&forward)?;
    let mut changes = Changes::default();
    pip::guard(&sources, &forward.url(), &surroundings, &mut changes);
    uv::guard(&sources, &surroundings, &mut changes);
    pdm::guard(&sources, &mut changes);
    send_everything_to(&forward.url(), &surroundings, &mut changes);
    authority.be_trusted(&mut changes);
    if !unverified {
        caches::set_apart(protection.index.cache_folder().as_deref(), &surroundings, &mut changes);
    }
    if surroundings.variable("WAXSEAL_INDEX").is_some() {
        // Without the credentials that it may hold.
        changes.set("WAXSEAL_INDEX", index.to_string());
    }
    say_what_is_not_verified(&changes.switched_off, &protection.allowed);
    let mut command = Command::new(program);
    command.args(arguments).envs(changes.set);
    for name in changes.removed {
        command.env_remove(name);
    }
    let status = serve_child(forward, command, program).await?;
    let refusals = proxy.refusals();
    show_held_back(&proxy.held_back());
    show_refusals(&refusals);
    if unverified {
        output::alarm(&format!(
            "nothing of {index} was verified: what came from there may be anybody's"
        ));
    }
    Ok(exit_code(status, &refusals))
}

/// The tool's own progress stands still until a file is verified.
fn say_how_far(file: SlowFile<'_>) {
    let name = output::printable(file.path.as_str().rsplit('/').next().unwrap_or_default());
    let came = output::size(file.came);
    let part = file.length.map_or_else(
        || format!("{came} of it came"),
        |length| format!("{came} of {} came", output::size(length)),
    );
    output::note(&format!("{name}: {part}; it is handed on once all of it is verified"));
}

/// Offline, what is known is as old as the last refresh.
fn say_how_old(store: &TrustStore, refreshed: Refreshed) {
    let shown = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let known = store.last_refresh().map_or_else(String::new, |last| {
        let age = refreshed.reference_time.duration_since(last.when);
        let age = in_words(Duration::try_from(age).unwrap_or_default());
        format!(" as it was at {}, {age} ago,", shown(last.when))
    });
    output::note(&format!(
        "offline: {}{known} is valid until {}",
        store.index().url,
        shown(refreshed.fresh_until)
    ));
}

fn say_what_is_not_verified(switched_off: &[String], allowed: &[String]) {
    if !switched_off.is_empty() {
        let list = switched_off.join(", ");
        output::note(&format!(
            "switched off for this run, as nothing of it is verified: {list} (`--allow URL` lets it be)"
        ));
    }
    for source in allowed {
        let source = source.rsplit('@').next().unwrap_or_default();
        output::warning(&format!("{source} is allowed, and nothing of it is verified"));
    }
}

/// The certificate of the forward proxy's authority, in a file for as long as the child runs.
struct Authority {
    file: NamedTempFile,
}

/// Variables that name such a file, of OpenSSL, requests, curl, pip, Git and Cargo.
const AUTHORITY: [&str; 6] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
];

impl Authority {
    fn write(forward: &Forward) -> anyhow::Result<Self> {
        let file = NamedTempFile::with_prefix("waxseal-authority-").and_then(|mut file| {
            file.write_all(forward.authority_pem().as_bytes())?;
            Ok(file)
        });
        let folder = std::env::temp_dir();
        let failed = || format!("cannot write a certificate in {}", folder.display());
        Ok(Self { file: file.with_context(failed)? })
    }

    /// It is all that the child needs to trust: every connection of it ends at the proxy.
    fn be_trusted(&self, changes: &mut Changes) {
        for name in AUTHORITY {
            changes.set(name, self.file.path().display().to_string());
        }
        changes.removed.push("SSL_CERT_DIR".to_owned());
    }
}

/// Every request of the child goes to the proxy, which answers for the index and refuses the rest: a
/// lock file, for one, may name files anywhere.
fn send_everything_to(proxy: &str, surroundings: &Surroundings<'_>, changes: &mut Changes) {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        changes.set(name, proxy);
        changes.set(name.to_lowercase(), proxy);
        changes.set(format!("UV_{name}"), proxy);
    }
    changes.removed.extend(["NO_PROXY", "no_proxy", "UV_NO_PROXY"].map(str::to_owned));
    // Git's configuration would win over the variables; these win over its configuration.
    let count = surroundings.variable("GIT_CONFIG_COUNT").and_then(OsStr::to_str);
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    changes.set(format!("GIT_CONFIG_KEY_{count}"), "http.proxy");
    changes.set(format!("GIT_CONFIG_VALUE_{count}"), proxy);
    changes.set("GIT_CONFIG_COUNT", (count + 1).to_string());
}

/// The environment that `pip` belongs to: the active one, or the one that the program lies in.
fn python_prefix(
    program: &OsStr,
    variables: &[(OsString, OsString)],
) -> Option<std::path::PathBuf> {
    let variable = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    if let Some(active) = variable("VIRTUAL_ENV") {
        return Some(active.into());
    }
    let path = variable("PATH")?;
    let found =
        std::env::split_paths(path).map(|folder| folder.join(program)).find(|p| p.is_file());
    Some(found?.parent()?.parent()?.to_owned())
}

async fn serve_child(
    forward: Forward,
    mut command: Command,
    program: &OsStr,
) -> anyhow::Result<ExitStatus> {
    let serving = tokio::spawn(forward.serve(std::future::pending()));
    let mut child = command.spawn().map_err(|error| {
        let program = program.to_string_lossy();
        Failure::new(
            Exit::Failed,
            format!("cannot run {program}: {error}"),
            format!("install {program}, or activate the environment that has it"),
        )
    })?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Ctrl-C reaches the child too; it decides, and its end is ours. Without the proxy it could only
    // fail, so it does not outlive us.
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => child.start_kill()?,
        }
    };
    serving.abort();
    Ok(status)
}

/// Says which releases were not shown to the tool.
fn show_held_back(held_back: &[HeldBack]) {
    for HeldBack { project, files, least } in held_back {
        let mut names = files.iter().rev().take(3).cloned().collect::<Vec<_>>().join(", ");
        if files.len() > 3 {
            names = format!("{names} and {} more", files.len() - 3);
        }
        output::note(&format!(
            "held back of {project}, as younger than {}: {names}",
            in_words(*least)
        ));
    }
}

/// Says what was refused, whatever the tool made of it.
fn show_refusals(refusals: &[Refusal]) {
    for refusal in refusals {
        output::error(&format!("refused {}: {}", refusal.what, refusal.reason));
        if refusal.slug != Refusal::ELSEWHERE {
            output::note(&format!("asked of {}", refusal.mirror));
        }
        output::hint(&refusal.hint);
    }
}

/// The child's exit code. A refusal is never a success, unless it was of something that is none of the
/// index's business and that the tool can do without.
fn exit_code(status: ExitStatus, refusals: &[Refusal]) -> std::process::ExitCode {
    let refused = refusals.iter().any(|refusal| refusal.slug != Refusal::ELSEWHERE);
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    let code = status.code().unwrap_or_else(signal);
    match u8::try_from(code) {
        Ok(0) if refused => Exit::Refused.into(),
        Ok(code) => code.into(),
        Err(_) => Exit::Failed.into(),
    }
}
