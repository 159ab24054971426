//! One attack: plain pip as the control, then `waxseal pip` through the same lies, then an honest mirror
//! and the same command again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::attacks::{Attack, Control, Ends, Seen};
use super::runs::{Installed, Pip, Run};
use super::world::{GREET, World};

/// What came of an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) attack: &'static str,
    pub(super) does: &'static str,
    pub(super) limit: Option<&'static str>,
    pub(super) ends: Ends,
    /// What plain pip did, as it was seen.
    pub(super) plain: String,
    /// Whether plain pip was fooled: if not, the rest proves nothing.
    pub(super) fooled: bool,
    /// The exit code of `waxseal pip`.
    pub(super) exit: Option<i32>,
    /// How long that took.
    pub(super) took: Duration,
    /// What its user read.
    pub(super) message: Vec<String>,
    pub(super) verdict: Verdict,
}

/// Whether an attack was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What should have been otherwise; nothing where the attack failed in every respect.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    pub(super) fn is_refused(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What was seen of `waxseal pip`.
#[derive(Debug)]
struct Observed<'a> {
    ends: Ends,
    attacked: &'a Run,
    message: &'a [String],
    /// Whether what is trusted is byte for byte what it was.
    trust_is_unchanged: bool,
    /// The same command with an honest mirror.
    recovered: &'a Run,
}

/// Plays it. `turns` are for what keeps a processor busy.
pub(super) async fn play(
    attack: &'static Attack,
    world: &World,
    pip: &Pip,
    turns: &Semaphore,
) -> anyhow::Result<Played> {
    let folder = world.folder().join(attack.name.to_lowercase().replace(' ', "-"));
    fs::create_dir(&folder)?;
    // Waiting is all that is done where plain pip is watched, on both sides at a time.
    let (control, attacked) = match attack.watch {
        Some(_) => tokio::try_join!(
            control(attack, world, pip, &folder),
            attacked(attack, world, pip, &folder)
        )?,
        None => {
            let _turn = turns.acquire().await?;
            let control = control(attack, world, pip, &folder).await?;
            (control, attacked(attack, world, pip, &folder).await?)
        }
    };
    let fooled = (attack.fooled)(&control);
    Ok(Played {
        attack: attack.name,
        does: attack.does,
        limit: attack.limit,
        ends: attack.ends,
        plain: fooled.clone().unwrap_or_else(|| format!("not fooled: {}", outcome(&control.run))),
        fooled: fooled.is_some(),
        exit: attacked.run.exit,
        took: attacked.run.took,
        message: attacked.message,
        verdict: attacked.verdict,
    })
}

async fn control(
    attack: &Attack,
    world: &World,
    pip: &Pip,
    folder: &Path,
) -> anyhow::Result<Control> {
    let mirror = world.mirror().await?;
    mirror.lie((attack.lies)(world)?);
    let good = match attack.ends {
        Ends::AskedElsewhere => Some(world.url()),
        Ends::Refused => None,
    };
    let target = folder.join("plain");
    let run = pip.plain(&mirror.url(), good.as_deref(), &target, attack.watch).await?;
    Ok(Control { run, sent: mirror.sent() })
}

/// What came of it with Waxseal.
struct Attacked {
    run: Run,
    message: Vec<String>,
    verdict: Verdict,
}

async fn attacked(
    attack: &Attack,
    world: &World,
    pip: &Pip,
    folder: &Path,
) -> anyhow::Result<Attacked> {
    let (mirror, trust) = (world.mirror().await?, folder.join("trust"));
    let good = match attack.ends {
        Ends::AskedElsewhere => Some(world.mirror().await?),
        Ends::Refused => None,
    };
    let good_url = good.as_ref().map(super::between::Mirror::url);
    let now = jiff::Timestamp::now();
    match attack.seen {
        Seen::Today => world.trust(&trust, &mirror, now, &[]).await?,
        Seen::TodayWithoutPhrases => {
            world.trust(&trust, &mirror, now, &world.bins_of_pages("phrases")?).await?;
        }
        Seen::ThreeDaysAgo => {
            mirror.lie(world.three_days_ago.replayed());
            world.trust(&trust, &mirror, world.three_days_ago.at, &[]).await?;
        }
    }
    let before = bytes_of(&trust)?;
    mirror.lie((attack.lies)(world)?);
    let attacked = pip.verified(&trust, good_url.as_deref(), &folder.join("attacked")).await?;
    let trust_is_unchanged = bytes_of(&trust)? == before;
    mirror.be_honest();
    let recovered = pip.verified(&trust, good_url.as_deref(), &folder.join("honest")).await?;
    let message = message(attack.ends, &attacked.stderr);
    let observed = Observed {
        ends: attack.ends,
        attacked: &attacked,
        message: &message,
        trust_is_unchanged,
        recovered: &recovered,
    };
    let verdict = judge(&observed);
    Ok(Attacked { run: attacked, message, verdict })
}

/// Whether the attack failed in every respect.
fn judge(observed: &Observed<'_>) -> Verdict {
    let Observed { ends, attacked, message, trust_is_unchanged, recovered } = observed;
    let mut problems = Vec::new();
    let mut expect = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    match ends {
        Ends::Refused => {
            expect(attacked.exit.is_some_and(|exit| exit != 0), "it ended as if all was well");
            expect(attacked.installed.is_empty(), "something was installed");
            let named = message.iter().any(|line| line.starts_with("error:"));
            expect(named, "nothing says what was refused");
        }
        Ends::AskedElsewhere => {
            expect(attacked.exit == Some(0), "the good mirror was of no use");
            expect(is_honest(&attacked.installed), "something else was installed than greet 1.1");
            expect(!message.is_empty(), "nothing says what the bad mirror did");
        }
    }
    expect(*trust_is_unchanged, "what is trusted was changed");
    expect(recovered.exit == Some(0), "with an honest mirror it failed as well");
    expect(is_honest(&recovered.installed), "with an honest mirror greet 1.1 was not installed");
    Verdict { problems }
}

/// Whether it is all that `pip install greet` is for.
fn is_honest(installed: &[Installed]) -> bool {
    let texts: Vec<_> = installed.iter().map(|installed| installed.says.as_str()).collect();
    texts == [GREET.says, "phrases 1.1"]
}

/// The lines of pip and waxseal that say what happened, as they are printed.
fn message(ends: Ends, stderr: &str) -> Vec<String> {
    let is_wanted = |line: &&str| match ends {
        Ends::Refused => ["ERROR:", "error:", "waxseal: asked of", "hint:"]
            .iter()
            .any(|start| line.starts_with(start)),
        Ends::AskedElsewhere => line.contains(" WARN "),
    };
    stderr.lines().filter(is_wanted).map(|line| line.trim_end().to_owned()).collect()
}

/// What a run came to, in a few words.
fn outcome(run: &Run) -> String {
    let installed: Vec<_> = run.installed.iter().map(|installed| installed.says.as_str()).collect();
    match (run.exit, installed.is_empty()) {
        (None, _) => "it waits".to_owned(),
        (_, false) => format!("installs {}", installed.join(" and ")),
        _ => {
            let error = run.stderr.lines().find(|line| line.starts_with("ERROR:"));
            error.unwrap_or("it fails, and does not say why").to_owned()
        }
    }
}

/// Every file in a folder but for locks, which hold nothing.
fn bytes_of(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("lock") => {}
                false => {
                    files.insert(path.clone(), fs::read(&path)?);
                }
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(name: &str, says: &str) -> Installed {
        Installed { name: name.to_owned(), version: "1.1".to_owned(), says: says.to_owned() }
    }

    fn honest() -> Run {
        let installed = vec![installed("greet", "greet 1.1"), installed("phrases", "phrases 1.1")];
        Run { exit: Some(0), installed, ..Run::default() }
    }

    fn problems(ends: Ends, change: impl FnOnce(&mut Run, &mut Run, &mut Vec<String>)) -> usize {
        let (mut attacked, mut recovered) = (honest(), honest());
        let mut message = vec!["error: refused project greet: it was changed".to_owned()];
        if ends == Ends::Refused {
            attacked = Run { exit: Some(1), ..Run::default() };
        }
        change(&mut attacked, &mut recovered, &mut message);
        let (attacked, message, recovered) = (&attacked, message.as_slice(), &recovered);
        let observed = Observed { ends, attacked, message, trust_is_unchanged: true, recovered };
        let verdict = judge(&observed);
        assert_eq!(verdict.is_refused(), verdict.problems.is_empty());
        // Whatever else holds, changed trust is a problem more.
        let changed = judge(&Observed { trust_is_unchanged: false, ..observed });
        assert_eq!(changed.problems.len(), verdict.problems.len() + 1);
        verdict.problems.len()
    }

    #[test]
    fn a_refusal_is_judged_by_exit_code_installation_message_and_recovery() {
        let ends = Ends::Refused;
        assert_eq!(problems(ends, |_, _, _| {}), 0);
        assert_eq!(problems(ends, |attacked, _, _| attacked.exit = Some(0)), 1);
        assert_eq!(problems(ends, |attacked, _, _| attacked.exit = None), 1);
        assert_eq!(problems(ends, |attacked, _, _| attacked.installed = honest().installed), 1);
        assert_eq!(problems(ends, |_, _, message| message.clear()), 1);
        assert_eq!(problems(ends, |_, _, message| *message = vec!["hint: none".to_owned()]), 1);
        assert_eq!(problems(ends, |_, recovered, _| recovered.exit = Some(1)), 1);
        assert_eq!(problems(ends, |_, recovered, _| recovered.installed.clear()), 1);
    }

    #[test]
    fn going_on_elsewhere_is_judged_by_what_is_installed() {
        let ends = Ends::AskedElsewhere;
        assert_eq!(problems(ends, |_, _, _| {}), 0);
        assert_eq!(problems(ends, |attacked, _, _| attacked.exit = Some(1)), 1);
        assert_eq!(problems(ends, |attacked, _, _| attacked.installed[0].says.clear()), 1);
        assert_eq!(problems(ends, |_, _, message| message.clear()), 1);
        assert_eq!(problems(ends, |_, recovered, _| recovered.installed.clear()), 1);
    }

    #[test]
    fn the_message_is_what_pip_and_waxseal_say_of_it() {
        let screen = "WARNING: of no interest\nERROR: HTTP error 409\nerror: refused it\n  more\n\
                      waxseal: asked of http://m.example/\n2026-01-01T00:00:00Z  WARN asking another\nhint: ask the operator\n";
        let refused = [
            "ERROR: HTTP error 409",
            "error: refused it",
            "waxseal: asked of http://m.example/",
            "hint: ask the operator",
        ];
        assert_eq!(message(Ends::Refused, screen), refused);
        let elsewhere = ["2026-01-01T00:00:00Z  WARN asking another"];
        assert_eq!(message(Ends::AskedElsewhere, screen), elsewhere);
    }
}
