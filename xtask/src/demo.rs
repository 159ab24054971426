//! The picture of `waxseal demo` for the README, drawn from what the demo prints.

mod svg;

use std::env;
use std::fs;

use anyhow::{Context as _, Result};

use crate::command::{cargo, command, output, run};
use crate::{paths, peers};

/// Where the attacks begin of which the picture shows the first.
const SHOWN: &str = " 3  ";

/// Where the table begins.
const TABLE: &str = "At a glance";

/// Plays the demo with the peers' pip, and draws its beginning, the first attacks and the table.
pub(crate) fn draw() -> Result<()> {
    peers::install()?;
    run(&mut cargo(&["build", "--package", "waxseal"]))?;
    let mut demo = command(paths::root().join("target/debug/waxseal"), ["demo"]);
    let programs = [paths::peers().join("venv/bin")];
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(programs.into_iter().chain(env::split_paths(&path)))?;
    demo.env("PATH", path).env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
    let printed = output(&mut demo)?;
    let file = paths::root().join("docs/demo.svg");
    fs::write(&file, svg::terminal("waxseal demo", &excerpt(&printed)))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("{printed}\n\ndrawn: {}", file.display());
    Ok(())
}

/// The beginning and the end, with a mark where something is left out.
fn excerpt(printed: &str) -> Vec<&str> {
    let lines: Vec<_> = printed.lines().collect();
    let find = |part: &str| lines.iter().position(|line| line.contains(part));
    match (find(SHOWN), find(TABLE)) {
        (Some(end), Some(table)) if end < table => {
            [&lines[..end], &["      ⋮", ""], &lines[table..]].concat()
        }
        _ => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_has_the_first_attacks_and_the_table() {
        let lines = excerpt("start\n\u{1b}[1m 3  Third\nx\n\u{1b}[1mAt a glance\nrow");
        assert_eq!(lines, ["start", "      ⋮", "", "\u{1b}[1mAt a glance", "row"]);
        assert_eq!(excerpt("a\nb"), ["a", "b"]);
    }
}
