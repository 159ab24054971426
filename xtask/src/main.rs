//! Developer tasks: `cargo xtask test` runs every test, `cargo xtask ci` what CI runs.

mod bench;
mod ci;
mod command;
mod debian;
mod demo;
mod deny;
mod fuzz;
mod paths;
mod peers;
mod sweep;
mod test;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
enum Task {
    /// Format, lint, docs, licences, then every test
    Ci,
    /// Every test, after installing what the tests need
    Test {
        /// Run only the tests whose names contain one of these
        #[arg(trailing_var_arg = true, value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Measure an index at PyPI's size, beside python-tuf
    Bench(bench::Options),
    /// Fuzz `waxseal-tuf`: each target for some time, on the stable toolchain
    Fuzz(fuzz::Options),
    /// Draw `docs/demo.svg`, the picture of `waxseal demo`, from what that prints
    Demo,
    /// Install the Python tools and packages that the tests use, under `target/peers`
    Peers,
    /// Kill and fail the real binary at every single system call; `test` takes a sample
    Sweep,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Ci => ci::run(),
        Task::Test { filters } => test::run(&filters),
        Task::Bench(options) => bench::bench(&options),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Demo => demo::draw(),
        Task::Peers => peers::install(),
        Task::Sweep => sweep::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reasons: Vec<_> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", reasons.join(": "));
            ExitCode::FAILURE
        }
    }
}
