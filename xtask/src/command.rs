//! External commands, whose failures name the command to repeat.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::paths;

/// A command that runs in the checkout.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::root());
    command
}

/// The cargo that runs us, so that every step uses one toolchain.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Runs a command on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| cannot_start(&line, command))?;
    if !status.success() {
        bail!(
            "this command failed ({status}):\n  {line}\nIts output above says why; repeat it alone to try again."
        );
    }
    Ok(())
}

/// Whether a command can be started and succeeds, with nothing shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a command prints, trimmed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(&line, command))?;
    if !output.status.success() {
        bail!("this command failed ({}):\n  {line}", output.status);
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{line}` printed what is not UTF-8"))?;
    Ok(text.trim().to_owned())
}

/// The command as a person would type it, with the variables set for it.
pub(crate) fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.display(), quoted(value)))
    });
    let program = std::path::Path::new(command.get_program());
    let program = match program.file_name() {
        // An absolute path to the toolchain's cargo says less than `cargo`.
        Some(name) if name == "cargo" => name,
        _ => program.as_os_str(),
    };
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn cannot_start(line: &str, command: &Command) -> String {
    let program = command.get_program().display();
    format!("cannot start this command, is `{program}` installed and on the PATH?\n  {line}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        let mut odd = command("echo", ["it's", "two words", "plain", ""]);
        odd.env("FLAGS", "-D warnings");
        let line = line(&odd);
        assert_eq!(line, r"FLAGS='-D warnings' echo 'it'\''s' 'two words' plain ''");
        let shell = output(&mut command("sh", ["-c", &line])).unwrap();
        assert_eq!(shell, "it's two words plain");
    }

    #[test]
    fn a_failure_names_its_command() {
        let failed = run(&mut command("sh", ["-c", "exit 7"])).unwrap_err().to_string();
        assert!(failed.contains("sh -c 'exit 7'") && failed.contains("exit status: 7"), "{failed}");
        let missing = run(&mut command("no-such-program", ["--flag"])).unwrap_err().to_string();
        assert!(missing.contains("`no-such-program` installed"), "{missing}");
        assert!(!succeeds(&mut command("no-such-program", ["--flag"])));
    }
}
