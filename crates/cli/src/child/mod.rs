//! Running pip, uv or another tool so that the index is all it can install from.
//!
//! The tool gets the verifying proxy as its only index, through its environment and for this run
//! alone. Whatever else would let it take a file from elsewhere is switched off where it comes from the
//! environment or from configuration files, and refused where it is asked for on the command line or
//! in a requirements file, because there the person meant it.

mod arguments;
mod pip;
mod requirements;
mod uv;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use waxseal_client::Client;
use waxseal_proxy::{Bound, Exposure, Proxy, Refusal, Settings};

use crate::failure::{Exit, Failure};
use crate::output;

pub(crate) use arguments::Tool;

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

/// Runs `program` with `arguments` against `client`'s index, and gives its exit code.
///
/// The metadata is refreshed once, before the tool starts: everything it gets is of one moment.
pub(crate) async fn run(
    client: Client,
    program: &OsStr,
    arguments: &[OsString],
) -> anyhow::Result<std::process::ExitCode> {
    let directory = std::env::current_dir().context("there is no current folder")?;
    let variables: Vec<_> = std::env::vars_os().collect();
    let prefix = python_prefix(program, &variables);
    let prefix = prefix.as_deref();
    let surroundings = Surroundings { variables: &variables, directory: &directory, prefix };
    if let Some(tool) = Tool::of(program, arguments) {
        arguments::check(tool, arguments)?;
        requirements::check(arguments, &surroundings)?;
    }
    let index = client.url().to_owned();
    // One refresh and one reference time for the whole run (TUF 5.1).
    client.refresh(Timestamp::now()).await?;
    let proxy = Proxy::new(client, Settings { refresh_after: None, ..Settings::default() });
    let bound = Bound::bind(([127, 0, 0, 1], 0).into(), Exposure::Loopback).await?;
    let mut changes = changes(&bound, &surroundings);
    if surroundings.variable("WAXSEAL_INDEX").is_some() {
        // Without the credentials that it may hold.
        changes.set("WAXSEAL_INDEX", index);
    }
    if !changes.switched_off.is_empty() {
        let list = changes.switched_off.join(", ");
        output::note(&format!("switched off for this run, as nothing of it is verified: {list}"));
    }
    let mut command = Command::new(program);
    command.args(arguments).envs(changes.set);
    for name in changes.removed {
        command.env_remove(name);
    }
    let status = serve_child(bound, proxy.clone(), command, program).await?;
    let refusals = proxy.refusals();
    show_refusals(&refusals);
    Ok(exit_code(status, &refusals))
}

fn changes(bound: &Bound, surroundings: &Surroundings<'_>) -> Changes {
    let proxy = format!("http://{}", bound.address());
    let mut changes = Changes::default();
    pip::guard(&bound.index_url(), &proxy, surroundings, &mut changes);
    uv::guard(&bound.index_url(), surroundings, &mut changes);
    send_everything_to(&proxy, surroundings, &mut changes);
    changes
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
    bound: Bound,
    proxy: Proxy,
    mut command: Command,
    program: &OsStr,
) -> anyhow::Result<ExitStatus> {
    let serving = tokio::spawn(bound.serve(proxy, std::future::pending()));
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

/// Says what was refused, whatever the tool made of it.
fn show_refusals(refusals: &[Refusal]) {
    for refusal in refusals {
        output::error(&format!("refused {}: {}", refusal.what, refusal.reason));
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
