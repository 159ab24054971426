//! What an index costs at PyPI's size: uploads, imports, renewal, memory, HTTP, side by side with
//! python-tuf and with the machine's floor. See `docs/performance.md`.
//!
//! ```console
//! $ cargo xtask bench                       # everything; takes the better part of an hour
//! $ cargo xtask bench upload batch --quick
//! $ cargo xtask bench --online-key ecdsa-sha2-nistp256
//! $ cargo xtask bench --json
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod child;
mod engine;
mod floor;
mod http;
mod peer;
mod prepared;
mod published;
mod report;
mod rows;
mod scale;

use scale::Scale;
use waxseal_signing::Scheme;

/// The test of this program has another folder, and no process to spare.
const IN_TEST: bool = false;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, job] = arguments.as_slice()
        && mode == child::CHILD
    {
        return child::main(job);
    }
    let options = Options::read(&arguments);
    if options.fresh {
        std::fs::remove_dir_all(prepared::folder()).unwrap();
    }
    if options.scale.python {
        // Before anything takes time.
        waxseal_testkit::peers::python();
    }
    prepared::forget_scrap();
    let chosen = |name: &str| options.names.is_empty() || options.names.iter().any(|n| n == name);
    let report = rows::run(&options.scale, &chosen);
    prepared::forget_scrap();
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report).unwrap()),
        false => print!("{}", report::tables(&report)),
    }
}

struct Options {
    names: Vec<String>,
    scale: Scale,
    json: bool,
    fresh: bool,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let (names, scale) = (Vec::new(), Scale::full());
        let mut options = Self { names, scale, json: false, fresh: false };
        let mut scheme = Scheme::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--json" => options.json = true,
                "--quick" => options.scale = Scale::quick(),
                "--tiny" => options.scale = Scale::tiny(),
                "--fresh" => options.fresh = true,
                "--online-key" => scheme = arguments.next().unwrap().parse().unwrap(),
                name if rows::NAMES.contains(&name) => options.names.push(name.to_owned()),
                other => panic!("{other:?} is not one of {:?}, nor an option", rows::NAMES),
            }
        }
        options.scale.scheme = scheme;
        options
    }
}
