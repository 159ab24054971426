use std::path::Path;

use waxseal_testkit::peers::CleanCommand;

use super::{Index, WAXSEAL};

/// The calls by which something becomes lasting, and how many are left out between two of a sample.
const CALLS: [(&str, usize); 3] =
    [("rename,renameat,renameat2,link,linkat", 3), ("fsync,fdatasync", 7), ("pwrite64", 23)];

/// Runs a command from the same state of a stopped index again and again, killed at one call after the other:
/// at each where `WAXSEAL_SWEEP` is `full`, else at a sample. Each time `afterwards` goes on from what is left.
pub(crate) fn killed_at_writes(index: &Index, words: &[&str], afterwards: impl Fn()) {
    killed_in(index.folder(), &index.data(), words, afterwards);
}

/// The same of a command that runs in a folder and changes `data`, which is below it.
pub(crate) fn killed_in(folder: &Path, data: &Path, words: &[&str], afterwards: impl Fn()) {
    let saved = folder.join("saved");
    copy(data, &saved);
    let is_full = std::env::var("WAXSEAL_SWEEP").is_ok_and(|sweep| sweep == "full");
    let mut killed = 0;
    for (calls, step) in CALLS {
        for n in (1..).step_by(if is_full { 1 } else { step }) {
            copy(&saved, data);
            let strace = CleanCommand::new("strace").current_dir(folder);
            let strace = strace.args(["--follow-forks", "--quiet=all", "--output=/dev/null"]);
            let strace = strace.arg(format!("--trace={calls}"));
            let strace = strace.arg(format!("--inject={calls}:signal=KILL:when={n}"));
            if strace.arg(WAXSEAL).args(words).run().status.success() {
                break;
            }
            killed += 1;
            afterwards();
        }
    }
    println!("{}: killed {killed} times", words.join(" "));
    assert!(killed >= 8, "{killed}");
}

/// Makes a folder what another is.
pub(crate) fn copy(from: &Path, to: &Path) {
    CleanCommand::new("rm").arg("-rf").arg(to).run().success();
    CleanCommand::new("cp").arg("-a").arg(from).arg(to).run().success();
}
