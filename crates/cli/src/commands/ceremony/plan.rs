use std::path::PathBuf;
use std::process::ExitCode;

use waxseal_repository::ceremony::Succession;

use super::FromOption;
use crate::ceremony::hold::described;
use crate::ceremony::plan_file::{PlanFile, template};
use crate::ceremony::preflight;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::plan_text;

/// Write a plan to fill in, or check one.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Write a new plan to this file, with a comment for each line
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    output: Option<PathBuf>,

    /// Check a plan, as far as that can be done without keys
    #[arg(long, value_name = "PLAN", conflicts_with = "output")]
    check: Option<PathBuf>,

    #[command(flatten)]
    from: FromOption,
}

impl Plan {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let current = self.from.read()?;
        if let Some(path) = &self.check {
            let plan = PlanFile::read(path)?;
            for line in described(&plan, Succession::Planned, false) {
                output::line(&line);
            }
            // What is at hand is another question: a plan is written elsewhere than where the keys are.
            if let Some(finding) = preflight::plan(&plan, current.as_ref()).first() {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("the plan cannot be carried out: {finding}"),
                    "change it, and check it again",
                )
                .into());
            }
            output::note(
                "the plan can be carried out; practise it with `waxseal ceremony rehearse`",
            );
            return Ok(ExitCode::SUCCESS);
        }
        let Some(path) = &self.output else {
            anyhow::bail!("neither --output nor --check was given")
        };
        let text = template(current.as_ref().map(|current| &current.offline));
        plan_text::write_new(path, &text)?;
        let (waxseal, plan) = (output::own_command(), output::quoted_path(path));
        output::line(&format!("{} is a plan to fill in. Then:", path.display()));
        let from = self.from.as_words();
        output::command(&format!("{waxseal} ceremony plan --check {plan}{from}"));
        output::command(&format!("{waxseal} ceremony rehearse {plan}{from}"));
        Ok(ExitCode::SUCCESS)
    }
}
