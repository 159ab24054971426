//! The text of a plan, with what helps people to decide as comments.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use waxseal_repository::restore::{FilePlan, Good, Plan, ProjectPlan};

use super::plan::word;
use crate::plan_text;

/// What writes a plan.
const COMMAND: &str = "waxseal restore plan";

/// The most bytes of a plan.
const MAX_LENGTH: u64 = 1 << 30;

/// How a plan begins.
const HEAD: &str = "\
# What differs from the last snapshot that is known to be good. Somebody has to decide on it:
#
#   decide = \"keep\"      it stays as it is now
#   decide = \"restore\"   it becomes what it was: what was added goes, what was changed or removed comes back
#   decide = \"?\"         not decided yet
#
# What a project says holds for all its files but those that have a line of their own. Change nothing else.
";

/// Writes a plan down.
pub(super) fn commented(plan: &Plan) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    let head = Plan { projects: Vec::new(), ..plan.clone() };
    let whole = toml::to_string(&head).context("the plan cannot be written")?;
    // The empty list of projects is written by its tables.
    text.push('\n');
    text.push_str(&whole.replace("project = []\n", ""));
    for project in &plan.projects {
        push_project(&mut text, project)?;
    }
    Ok(text)
}

fn push_project(text: &mut String, project: &ProjectPlan) -> anyhow::Result<()> {
    let decision = toml::Value::try_from(project.decide)?;
    let name = toml::Value::String(project.name.clone());
    write!(text, "\n[[project]]\nname = {name}\ndecide = {decision}\n")?;
    for file in &project.files {
        push_file(text, file)?;
    }
    Ok(())
}

fn push_file(text: &mut String, file: &FilePlan) -> anyhow::Result<()> {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let shown: String = name.chars().filter(|c| !c.is_control()).collect();
    write!(text, "\n  # {} {shown}", word(file.change))?;
    if let Some(note) = &file.note {
        let note: String = note.chars().filter(|c| !c.is_control()).collect();
        write!(text, ": {note}")?;
    }
    if matches!(file.good, Some(Good::Unknown { .. })) {
        write!(text, "; what its page said of it is not known, so that it cannot be restored")?;
    }
    text.push_str("\n  [[project.file]]\n");
    let fields = toml::Value::try_from(file)?;
    for (name, value) in fields.as_table().into_iter().flatten() {
        writeln!(text, "  {name} = {value}")?;
    }
    Ok(())
}

/// Reads a plan in which people have decided.
pub(super) fn read(path: &Path) -> anyhow::Result<Plan> {
    let text = plan_text::read(path, MAX_LENGTH, COMMAND)?;
    toml::from_str(&text).map_err(|error| plan_text::refused(path, &error, COMMAND).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_repository::restore::{Change, Decision, GoodFile, State};

    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let file = |path: &str, change, good| FilePlan {
            path: path.to_owned(),
            change,
            decide: None,
            note: Some("uploaded by \"ci\"\nand more".to_owned()),
            now: Some("sha256:ab".to_owned()),
            good,
        };
        let good = GoodFile {
            sha256: "cd".to_owned(),
            size: 7,
            upload_time: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            requires_python: Some(">=3.9".to_owned()),
            yanked: Some(String::new()),
            metadata_sha256: None,
        };
        let target = r#"{"custom":{"a":"\"é"},"hashes":{"sha256":"ef"},"length":3}"#.to_owned();
        let plan = Plan {
            last_known_good: 17,
            snapshot_sha256: "00".to_owned(),
            compared: State { snapshot: 42, serial: 9, bins_sha256: "11".to_owned() },
            projects: vec![
                ProjectPlan {
                    name: String::new(),
                    decide: Decision::Open,
                    files: vec![file("x/\"y", Change::Removed, Some(Good::Target { target }))],
                },
                ProjectPlan {
                    name: "flask".to_owned(),
                    decide: Decision::Restore,
                    files: vec![
                        file("packages/flask/a.whl", Change::Added, None),
                        file("packages/flask/b.whl", Change::Changed, Some(Good::File(good))),
                        FilePlan {
                            decide: Some(Decision::Keep),
                            ..file(
                                "packages/flask/c.whl",
                                Change::Removed,
                                Some(Good::Unknown { digest: "sha256:12".to_owned() }),
                            )
                        },
                    ],
                },
            ],
        };
        let text = commented(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        let empty = Plan { projects: Vec::new(), ..plan };
        assert_eq!(toml::from_str::<Plan>(&commented(&empty).unwrap()).unwrap(), empty);
    }
}
