//! What is measured: one function for each kind of row.

mod import;
mod resign;
mod sustain;
mod upload;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use waxseal_testkit::stopwatch::{Taken, median};

use crate::child::Run;
use crate::floor::{Floor, Work};
use crate::http;
use crate::peer::Peer;
use crate::prepared::{self, Prepared};
use crate::scale::Scale;

/// One kind of work at one size.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    /// The work, for people.
    pub(crate) work: String,
    /// Each run of ours.
    pub(crate) ours: Vec<Run>,
    /// Each run of python-tuf.
    pub(crate) python_tuf: Vec<Run>,
    /// Seconds: the floor's processor time with aws-lc, its time by the clock, and OpenSSL's
    /// processor time for the signatures alone.
    pub(crate) floor_cpu: Option<f64>,
    pub(crate) floor_wall: Option<f64>,
    pub(crate) openssl_cpu: Option<f64>,
    /// The most memory of our process, in KiB.
    pub(crate) peak_kib: Option<u64>,
    /// What is to be reached.
    pub(crate) aim: String,
    /// Whether it was.
    pub(crate) reached: Option<bool>,
    /// What the figures are of.
    pub(crate) note: String,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) sustained: Vec<sustain::Row>,
    pub(crate) http: Vec<http::Outcome>,
}

/// The names of what can be measured, in the order in which it is.
pub(crate) const NAMES: [&str; 8] =
    ["import", "upload", "batch", "growth", "resign", "memory", "sustained", "http"];

/// Measures what is chosen, size by size: an index that rows have changed is not kept.
pub(crate) fn run(scale: &Scale, chosen: &dyn Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    if chosen("growth") {
        report.rows.extend(scale.growth.iter().map(|targets| upload::growth(scale, *targets)));
    }
    for size in &scale.sizes {
        // What other sizes and earlier runs left.
        scale.sizes.iter().for_each(|size| Prepared::tidy(size.targets, scale));
        if chosen("import") {
            report.rows.push(import::row(scale, *size));
        }
        for (name, in_a_batch) in [("upload", 1), ("batch", scale.in_a_batch)] {
            if chosen(name) {
                let rows = [1, 3].map(|targets| upload::row(scale, *size, targets, in_a_batch));
                report.rows.extend(rows);
            }
        }
        if chosen("resign") {
            report.rows.push(resign::row(scale, *size));
        }
        if chosen("memory") {
            report.rows.push(memory(scale, size.targets, size.name));
        }
        if chosen("sustained") {
            report.sustained.push(sustain::row(scale, *size));
        }
    }
    if chosen("http") {
        let data = prepared::scrap().join("data");
        prepared::init(&data, scale);
        report.http = http::run(&data, "made", &scale.http);
    }
    report
}

/// `waxseal serve` on a large index, with uploads from eight clients.
fn memory(scale: &Scale, targets: u64, name: &str) -> Row {
    let prepared = Prepared::get(targets, scale);
    let uploads = [(8, if scale.python { 400 } else { 8 })];
    let start = jiff::Timestamp::now().as_second();
    let outcomes = http::run(&prepared.data, &format!("memory{start}with"), &uploads);
    let peak = outcomes[0].peak_kib;
    Row {
        work: format!("`waxseal serve` with {name} targets, {} uploads over HTTP", uploads[0].1),
        peak_kib: Some(peak),
        aim: "300 MB".to_owned(),
        reached: Some(peak * 1024 < 300_000_000),
        note: format!("{:.0} uploads a second", outcomes[0].uploads_a_second),
        ..Row::default()
    }
}

impl Row {
    fn of(work: String, ours: Vec<Run>, python_tuf: &[Taken]) -> Self {
        let python_tuf = python_tuf.iter().copied().map(Run::from).collect();
        Self { work, ours, python_tuf, ..Self::default() }
    }

    fn with_floor(mut self, scale: &Scale, work: &Work, peer: Option<&mut Peer>) -> Self {
        let Floor { cpu, wall } = work.floor(scale.scheme, &prepared::scrap());
        self.floor_cpu = Some(cpu.as_secs_f64());
        self.floor_wall = Some(wall.as_secs_f64());
        let (sizes, factor) = work.sample();
        let openssl = peer.map(|peer| peer.sign(&sizes).cpu.as_secs_f64() * factor);
        self.openssl_cpu = openssl;
        self.note = if self.note.is_empty() { work.describe() } else { self.note };
        self
    }

    /// So many times less processor time than python-tuf.
    fn aim_at_python(mut self, times: f64) -> Self {
        self.aim = format!("{times:.0} times less CPU than python-tuf");
        self.reached = self.ratio().map(|ratio| ratio >= times);
        self
    }

    /// python-tuf's processor time to ours.
    pub(crate) fn ratio(&self) -> Option<f64> {
        (!self.python_tuf.is_empty() && !self.ours.is_empty())
            .then(|| cpu(&self.python_tuf) / cpu(&self.ours))
    }

    /// Our processor time to the floor's.
    pub(crate) fn to_floor(&self) -> Option<f64> {
        self.floor_cpu.filter(|_| !self.ours.is_empty()).map(|floor| cpu(&self.ours) / floor)
    }
}

/// The median of the processor time.
pub(crate) fn cpu(runs: &[Run]) -> f64 {
    middle(runs, |run| run.cpu)
}

/// The median of the time by the clock.
pub(crate) fn wall(runs: &[Run]) -> f64 {
    middle(runs, |run| run.wall)
}

fn middle(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(|run| Duration::from_secs_f64(of(run)))).as_secs_f64()
}

/// python-tuf, and its folder.
struct PythonTuf {
    peer: Peer,
    folder: PathBuf,
}

impl PythonTuf {
    fn start(scale: &Scale) -> Option<Self> {
        let folder = prepared::scrap();
        let bits = u8::try_from(scale.bins.ilog2()).unwrap();
        scale.python.then(|| Self { peer: Peer::start(&folder, bits, scale.scheme), folder })
    }

    /// What it wrote last of a bin, whose filename of ours is given.
    fn newest(&self, file: &str) -> PathBuf {
        let (_, rest) = file.split_once('.').unwrap();
        let mut version = 0;
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some((number, of)) = name.split_once('.')
                && of == rest
            {
                version = version.max(number.parse::<u64>().unwrap());
            }
        }
        self.folder.join(format!("{version}.{rest}"))
    }
}
