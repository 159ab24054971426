//! Attacks that change files and pages.

use std::sync::Arc;

use waxseal_tuf::hash::Sha256;

use super::{Attack, Control, Ends, Seen};
use crate::demo::between::{About, Instead, Lie};
use crate::demo::wheel::Wheel;
use crate::demo::world::{GREET, GREET_WINDOWS};

/// What the attacker would like to be installed.
const EVIL: Wheel = Wheel { says: "the attacker's code", ..GREET };

/// The same release, which needs something that it does not.
const NEEDY: Wheel = Wheel { requires: &["phrases", "oldxml"], ..GREET };

pub(super) const ARBITRARY: Attack = Attack {
    name: "Arbitrary software installation",
    does: "The mirror hands out a wheel with code of its own as greet 1.1, and puts the hash of that \
           wheel on the project's page.",
    limit: None,
    lies: |_| Ok([file_instead(&EVIL), vec![page("/simple/greet/", &EVIL)]].concat()),
    fooled: evil_is_installed,
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const EXTRANEOUS: Attack = Attack {
    name: "Extraneous dependencies attacks",
    does: "The mirror changes the core metadata of greet 1.1, so that it also needs oldxml 0.9: a \
           project of this very index, with a hole that the attacker knows.",
    limit: None,
    lies: |_| {
        let metadata = NEEDY.metadata().into_bytes();
        let about = About::Ends(format!("{}.metadata", GREET.filename()));
        let metadata = Lie { about, instead: Instead::Bytes(metadata) };
        // Of the pages only the one that pip asks for: the other is signed.
        let page = Lie { about: About::Path("/simple/greet/".to_owned()), ..page("", &NEEDY) };
        Ok([vec![metadata, page], file_instead(&NEEDY)].concat())
    },
    fooled: |control| {
        let extra = control.installed("oldxml").filter(|_| control.is_silent())?;
        Some(format!("installs {} {} as well", extra.name, extra.version))
    },
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const WRONG: Attack = Attack {
    name: "Wrong software installation",
    does: "The mirror answers with another file of the index, which its project did publish: the wheel \
           for Windows, under the name of the one for this machine.",
    limit: None,
    lies: |_| {
        let page = page("", &GREET_WINDOWS);
        let page = Lie { about: About::Path("/simple/greet/".to_owned()), ..page };
        Ok([file_instead(&GREET_WINDOWS), vec![page]].concat())
    },
    fooled: |control| {
        let greet = control.installed("greet").filter(|_| control.is_silent())?;
        (greet.says == GREET_WINDOWS.says).then(|| format!("installs {}", greet.says))
    },
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

/// Whether the attacker's code is there.
pub(super) fn evil_is_installed(control: &Control) -> Option<String> {
    let greet = control.installed("greet").filter(|_| control.is_silent())?;
    (greet.says == EVIL.says).then(|| format!("installs {} as greet {}", greet.says, greet.version))
}

/// What hands out the attacker's code to whoever looks at pip's page alone.
pub(super) fn evil() -> Vec<Lie> {
    let page = Lie { about: About::Path("/simple/greet/".to_owned()), ..page("", &EVIL) };
    [file_instead(&EVIL), vec![page]].concat()
}

/// Other bytes under the name of the wheel of greet 1.1.
fn file_instead(wheel: &Wheel) -> Vec<Lie> {
    let about = About::Ends(format!("/{}", GREET.filename()));
    let hashed = About::Ends(format!(".{}", GREET.filename()));
    [about, hashed].map(|about| Lie { about, instead: Instead::Bytes(wheel.bytes()) }).to_vec()
}

/// Pages of greet that list this wheel's hash, and that of its core metadata.
fn page(part: &str, wheel: &Wheel) -> Lie {
    let hashes = |wheel: &Wheel| {
        let metadata = wheel.metadata();
        [wheel.bytes(), metadata.into_bytes()].map(|bytes| Sha256::of(&bytes).to_string())
    };
    let pairs: Vec<_> = hashes(&GREET).into_iter().zip(hashes(wheel)).collect();
    let edit = move |page: String| {
        pairs.iter().fold(page, |page, (honest, other)| page.replace(honest, other))
    };
    Lie { about: About::Contains(part.to_owned()), instead: Instead::Edited(Arc::new(edit)) }
}
