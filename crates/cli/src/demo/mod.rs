//! `waxseal demo`: the attacks of PEP 458, Appendix A, played between pip and an index of its own.
//!
//! Nothing in it is a picture: the index, its signatures, pip and `waxseal pip` are real, and what is
//! shown of them is what they did just now. Only the mirror between them is the demo's.

mod attacks;
mod between;
mod http;
mod play;
mod runs;
mod show;
mod wheel;
mod world;

use std::fs;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::attacks::Attack;
use self::play::Played;
use self::runs::Pip;
use self::world::World;
use crate::failure::{Exit, Failure};
use crate::output;

/// How a demo is shown.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) json: bool,
    /// Whether the temporary folder stays.
    pub(crate) keep: bool,
    /// The one attack to play, by a part of its name.
    pub(crate) attack: Option<String>,
}

/// What is said of one attack in JSON.
#[derive(Debug, Serialize)]
struct Listed {
    attack: &'static str,
    plain_pip: String,
    refused: bool,
    message: String,
}

/// Everything in JSON.
#[derive(Debug, Serialize)]
struct Report {
    attacks: Vec<Listed>,
}

/// Plays it, and removes the temporary folder whatever happens.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let chosen = chosen(options.attack.as_deref())?;
    let mut stopped = pin!(crate::host::stopped()?);
    let folder = tempfile::Builder::new().prefix("waxseal-demo-").tempdir();
    let mut folder = folder.context("cannot make a temporary folder")?;
    folder.disable_cleanup(true);
    let path = folder.path().to_owned();
    let mut playing = JoinSet::new();
    let played = tokio::select! {
        played = play_all(folder, &chosen, options, &mut playing) => Some(played),
        () = &mut stopped => None,
    };
    // Ends what pip is still at.
    playing.shutdown().await;
    match options.keep {
        true => output::note(&format!("kept {}", path.display())),
        false => remove(&path).await?,
    }
    match played {
        Some(played) => end(&played?),
        None => Err(Failure::new(
            Exit::Failed,
            "the demo was stopped",
            "nothing of it is left; whole, it takes about half a minute",
        )
        .into()),
    }
}

/// Removes the temporary folder. A process that was just ended may still write to it.
async fn remove(folder: &Path) -> anyhow::Result<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if tries < 20 => tries += 1,
            removed => {
                return removed.with_context(|| format!("cannot remove {}", folder.display()));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The attacks that were asked for.
fn chosen(name: Option<&str>) -> anyhow::Result<Vec<&'static Attack>> {
    static ALL: [Attack; 10] = attacks::ALL;
    let Some(name) = name else { return Ok(ALL.iter().collect()) };
    let wanted = name.to_lowercase();
    let found: Vec<_> =
        ALL.iter().filter(|attack| attack.name.to_lowercase().contains(&wanted)).collect();
    if found.is_empty() {
        let names: Vec<_> = ALL.iter().map(|attack| attack.name).collect();
        return Err(Failure::new(
            Exit::Usage,
            format!("no attack has {name:?} in its name"),
            format!("they are: {}", names.join(", ")),
        )
        .into());
    }
    Ok(found)
}

async fn play_all(
    folder: TempDir,
    chosen: &[&'static Attack],
    options: &Options,
    playing: &mut JoinSet<anyhow::Result<(usize, Played)>>,
) -> anyhow::Result<Vec<Played>> {
    let bar = output::steps();
    bar.set_length(chosen.len() as u64);
    bar.set_message("making an index");
    bar.enable_steady_tick(Duration::from_millis(200));
    let pip = Pip::find(folder.path()).await?;
    let world = Arc::new(World::make(folder).await?);
    let beginning = show::Beginning::play(&world, &pip).await?;
    if !options.json {
        bar.suspend(|| beginning.show(chosen.len()));
    }
    bar.set_message("playing the attacks");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let turns = Arc::new(Semaphore::new(processors));
    for (number, attack) in chosen.iter().copied().enumerate() {
        let (world, pip, turns) = (Arc::clone(&world), pip.clone(), Arc::clone(&turns));
        playing.spawn(async move {
            let played = play::play(attack, &world, &pip, &turns).await;
            Ok((number, played.with_context(|| format!("cannot play {:?}", attack.name))?))
        });
    }
    // They end in any order, and are shown in the PEP's.
    let mut ended: Vec<Option<Played>> = vec![None; chosen.len()];
    let mut shown = 0;
    while let Some(result) = playing.join_next().await {
        let (number, played) = result??;
        ended[number] = Some(played);
        bar.inc(1);
        while let Some(Some(played)) = ended.get(shown) {
            shown += 1;
            if !options.json {
                bar.suspend(|| show::attack(shown, played));
            }
        }
    }
    bar.finish_and_clear();
    let played: Vec<Played> = ended.into_iter().flatten().collect();
    match options.json {
        true => output::json(&report(&played))?,
        false => show::table(&played),
    }
    Ok(played)
}

fn report(played: &[Played]) -> Report {
    let listed = |played: &Played| Listed {
        attack: played.attack,
        plain_pip: played.plain.clone(),
        refused: played.verdict.is_refused(),
        message: played.message.join("\n"),
    };
    Report { attacks: played.iter().map(listed).collect() }
}

/// Success if every attack was refused.
fn end(played: &[Played]) -> anyhow::Result<ExitCode> {
    for played in played.iter().filter(|played| !played.fooled) {
        output::warning(&format!(
            "{}: plain pip was not fooled here, so that this proves nothing",
            played.attack
        ));
    }
    let problems: Vec<_> = played
        .iter()
        .filter(|played| !played.verdict.is_refused())
        .map(|played| format!("{} ({})", played.attack, played.verdict.problems.join(", ")))
        .collect();
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(
        Exit::Failed,
        format!("not refused as it should be: {}", problems.join("; ")),
        "this is a defect of Waxseal: please report it, with what `waxseal -v demo --keep` prints",
    )
    .into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::attacks::Ends;
    use super::play::Verdict;
    use super::*;

    fn played(problems: &[&str]) -> Played {
        Played {
            attack: "Rollback attacks",
            does: "",
            limit: None,
            ends: Ends::Refused,
            plain: "installs greet 1.0".to_owned(),
            fooled: true,
            exit: Some(3),
            took: Duration::from_secs(1),
            message: vec!["error: a rollback".to_owned(), "hint: wait".to_owned()],
            verdict: Verdict { problems: problems.iter().map(ToString::to_string).collect() },
        }
    }

    #[test]
    fn an_attack_that_is_not_refused_fails_the_demo_and_is_named() {
        assert!(end(&[played(&[]), played(&[])]).is_ok());
        let error = end(&[played(&[]), played(&["something was installed"])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not refused as it should be: Rollback attacks (something was installed)"
        );
    }

    #[test]
    fn json_says_of_each_attack_what_was_seen() {
        let json = |problems: &[&str]| serde_json::to_value(report(&[played(problems)])).unwrap();
        let expected = |refused: bool| {
            serde_json::json!({"attacks": [{
                "attack": "Rollback attacks",
                "plain_pip": "installs greet 1.0",
                "refused": refused,
                "message": "error: a rollback\nhint: wait",
            }]})
        };
        assert_eq!(json(&[]), expected(true));
        assert_eq!(json(&["x"]), expected(false));
    }

    #[test]
    fn attacks_are_chosen_by_a_part_of_their_name() {
        let names =
            |part| chosen(part).unwrap().iter().map(|attack| attack.name).collect::<Vec<_>>();
        assert_eq!(names(None).len(), 10);
        assert_eq!(names(Some("FREEZE")), ["Indefinite freeze attacks"]);
        assert!(chosen(Some("nothing")).is_err());
    }
}
