//! Attacks with how data comes.

use std::time::Duration;

use super::{Attack, Ends, Seen};
use crate::demo::between::{About, Instead, Lie};
use crate::demo::world::GREET;

/// How many bytes the mirror has for whoever takes them.
const ENDLESS_BYTES: u64 = 64 << 20;

/// From here on somebody takes whatever comes.
const TOO_MANY: u64 = ENDLESS_BYTES / 2;

/// How long plain pip is watched: longer than it waits for a silent server.
const WATCH: Duration = Duration::from_secs(20);

pub(super) const ENDLESS: Attack = Attack {
    name: "Endless data attacks",
    does: "The mirror begins to send the wheel of greet 1.1, and never stops. (In this demo it does, \
           after 64 MiB.)",
    limit: None,
    lies: |_| {
        let file = [format!("/{}", GREET.filename()), format!(".{}", GREET.filename())];
        let endless =
            |end| Lie { about: About::Ends(end), instead: Instead::Endless(ENDLESS_BYTES) };
        Ok(file.map(endless).to_vec())
    },
    fooled: |control| {
        let taken = control.sent >= TOO_MANY;
        taken.then(|| format!("takes {} MiB, until the mirror stops", control.sent >> 20))
    },
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

pub(super) const SLOW: Attack = Attack {
    name: "Slow retrieval attacks",
    does: "The mirror sends one byte every two seconds: never so slowly that it looks dead.",
    limit: None,
    lies: |_| {
        let slowly = Instead::Slowly(Duration::from_secs(2));
        let paths = ["/simple/", "/tuf/"].map(|part| About::Contains(part.to_owned()));
        Ok(paths.map(|about| Lie { about, instead: slowly.clone() }).to_vec())
    },
    fooled: |control| {
        let waiting = control.run.exit.is_none();
        waiting.then(|| {
            let (seconds, bytes) = (control.run.took.as_secs(), control.sent);
            format!("still waits after {seconds} s, having got {bytes} bytes")
        })
    },
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: Some(WATCH),
};
