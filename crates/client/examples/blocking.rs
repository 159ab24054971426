//! Embeds the update workflow of `waxseal-tuf` in a program without a runtime: one target of an
//! index, verified, on standard output. `TRUST` is a folder that holds the index's `root.json`.
//!
//! ```console
//! $ cargo run --package waxseal-client --example blocking -- \
//!     http://127.0.0.1:8458/tuf TRUST simple/vnd.pypi.simple.v1.json
//! ```

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use waxseal_tuf::{Answer, Limits, Search, Step, TargetCheck, TargetPath, Updater};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Does what a step asks for; `None` at the end. A real program locks the folder, and syncs what it
/// writes.
fn perform(step: Step, url: &str, trust: &Path) -> Result<Option<Answer>> {
    let file = |role: &waxseal_tuf::RoleName| trust.join(format!("{}.json", role.encoded()));
    Ok(Some(match step {
        Step::Load(role) => Answer::Loaded(fs::read(file(&role)).ok()),
        Step::Fetch(wanted) => {
            eprintln!("fetching {} of at most {} bytes", wanted.path, wanted.max_length);
            match get(&format!("{url}/metadata/{}", wanted.path), wanted.max_length)? {
                Some(bytes) => Answer::Fetched(bytes),
                None => Answer::NotFound,
            }
        }
        Step::Store(role, bytes) => {
            fs::write(trust.join("new"), &bytes)?;
            fs::rename(trust.join("new"), file(&role))?;
            Answer::Stored
        }
        Step::Done => return Ok(None),
    }))
}

/// At most one byte more than the limit, which is then refused.
fn get(url: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let response = match ureq::get(url).call() {
        Err(ureq::Error::StatusCode(404)) => return Ok(None),
        response => response?,
    };
    let mut bytes = Vec::new();
    response.into_body().into_reader().take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, trust, path] = arguments.as_slice() else { return Err("URL, TRUST, TARGET".into()) };
    let (trust, path) = (Path::new(trust), TargetPath::new(path)?);
    let (limits, root) = (Limits::default(), fs::read(trust.join("root.json"))?);

    let mut updater = Updater::new(&root, jiff::Timestamp::now(), limits)?;
    while let Some(answer) = perform(updater.step(), url, trust)? {
        updater = updater.answer(answer)?;
    }
    let mut trusted = updater.finish()?;

    let mut search = Search::new(path.clone(), &trusted, limits)?;
    while let Some(answer) = perform(search.step(&trusted), url, trust)? {
        search = search.answer(&mut trusted, answer)?;
    }
    let file = search.finish().ok_or("the index has no such target")?;

    let location = trusted.target_location(&path, &file)?;
    let bytes = get(&format!("{url}/targets/{location}"), file.length)?.ok_or("it is missing")?;
    let mut check = TargetCheck::new(path, &file)?;
    check.update(&bytes)?;
    check.finish()?;
    Ok(std::io::stdout().write_all(&bytes)?)
}
