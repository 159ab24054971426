//! Attacks with what the index signed once.

use std::sync::Arc;

use super::{Attack, Ends, Seen};
use crate::demo::between::{About, Instead, Lie};
use crate::demo::world::{GREET, GREET_1_0};

pub(super) const ROLLBACK: Attack = Attack {
    name: "Rollback attacks",
    does: "The mirror shows the index of two hours ago: old page, old metadata, each with its true \
           signature. greet 1.1, which fixes greet 1.0, is not on it.",
    limit: None,
    lies: |world| Ok(world.two_hours_ago.replayed()),
    fooled: old_greet_is_installed,
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const FREEZE: Attack = Attack {
    name: "Indefinite freeze attacks",
    does: "For three days the mirror has shown the index as it was then, to somebody who has seen \
           nothing newer. greet 1.1 came out since.",
    limit: Some(
        "Until the metadata expires, a day after it was signed, a frozen index cannot be told from \
         one where nothing happens.",
    ),
    lies: |world| Ok(world.three_days_ago.replayed()),
    fooled: old_greet_is_installed,
    seen: Seen::ThreeDaysAgo,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const MIX_AND_MATCH: Attack = Attack {
    name: "Mix-and-match attacks",
    does: "The mirror shows greet as it is today beside phrases, which it needs, as it was two hours \
           ago: each true, but never so at one time.",
    limit: None,
    lies: |world| {
        let mut lies: Vec<Lie> = world.two_hours_ago.page("phrases").into_iter().collect();
        for bin in world.bins_of_pages("phrases")? {
            let Some((new, old)) = world.newest_versions(&bin)? else { continue };
            let path = |version| format!("/tuf/metadata/{version}.{bin}.json");
            lies.push(Lie { about: About::Path(path(new)), instead: Instead::At(path(old)) });
        }
        Ok(lies)
    },
    fooled: |control| {
        let (greet, phrases) = (control.installed("greet")?, control.installed("phrases")?);
        let mixed = greet.version == "1.1" && phrases.version == "1.0" && control.is_silent();
        mixed.then(|| format!("installs {}, and with it {}", greet.says, phrases.says))
    },
    seen: Seen::TodayWithoutPhrases,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const MALICIOUS_MIRROR: Attack = Attack {
    name: "Malicious mirrors preventing updates",
    does: "Of two mirrors one is bad: its page lists a greet 99 that is nowhere, and it shows the \
           metadata of two hours ago. The good one has greet 1.1.",
    limit: None,
    lies: |world| {
        let mut lies = world.two_hours_ago.replayed();
        // A file of a version that everybody would prefer.
        let from = format!("{}-{}-", GREET.name, GREET.version);
        let edit = move |page: String| page.replace(&from, "greet-99-");
        let page = About::Path("/simple/greet/".to_owned());
        lies.insert(0, Lie { about: page, instead: Instead::Edited(Arc::new(edit)) });
        lies.insert(
            1,
            Lie { about: About::Contains("/greet-99-".to_owned()), instead: Instead::NotFound },
        );
        Ok(lies)
    },
    fooled: |control| {
        let nothing = control.run.exit.is_some_and(|exit| exit != 0)
            && control.run.installed.is_empty()
            && control.run.stderr.contains("404");
        nothing.then(|| "told of both, fails, and installs nothing".to_owned())
    },
    seen: Seen::Today,
    ends: Ends::AskedElsewhere,
    watch: None,
};

/// Whether the version is there that was fixed since, and nothing says so.
fn old_greet_is_installed(control: &super::Control) -> Option<String> {
    let greet = control.installed("greet").filter(|_| control.is_silent())?;
    let old = greet.version == GREET_1_0.version && !control.run.stdout.contains(GREET.version);
    old.then(|| format!("installs {}, and says nothing of {}", greet.says, GREET.says))
}
