//! The figures as tables in Markdown.

use std::fmt::Write as _;

use crate::rows::{self, Report, Row};

/// Every table that has rows.
pub(crate) fn tables(report: &Report) -> String {
    let mut out = String::new();
    if !report.rows.is_empty() {
        out.push_str(
            "\n| work | ours CPU | ours wall | python-tuf CPU | ratio | floor CPU (OpenSSL) | floor \
             wall | ours to floor | peak memory | aim | reached |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        report.rows.iter().for_each(|row| line(&mut out, row));
        out.push('\n');
        for row in &report.rows {
            let _ = writeln!(out, "- {}: {}", row.work, row.note);
        }
    }
    sustained(&mut out, report);
    http(&mut out, report);
    out
}

fn line(out: &mut String, row: &Row) {
    let runs = |of: fn(&[crate::child::Run]) -> f64, runs: &[crate::child::Run]| match runs {
        [] => String::new(),
        runs => time(of(runs)),
    };
    let times = |number: Option<f64>| number.map_or_else(String::new, |n| format!("{n:.1}"));
    let seconds = |number: Option<f64>| number.map_or_else(String::new, time);
    let openssl = row.openssl_cpu.map_or_else(String::new, |s| format!(" ({})", time(s)));
    let _ = writeln!(
        out,
        "| {} | {} | {} | {} | {} | {}{openssl} | {} | {} | {} | {} | {} |",
        row.work,
        runs(rows::cpu, &row.ours),
        runs(rows::wall, &row.ours),
        runs(rows::cpu, &row.python_tuf),
        times(row.ratio()),
        seconds(row.floor_cpu),
        seconds(row.floor_wall),
        times(row.to_floor()),
        row.peak_kib.map_or_else(String::new, |kib| format!("{} MiB", kib / 1024)),
        row.aim,
        row.reached.map_or("", yes),
    );
}

fn sustained(out: &mut String, report: &Report) {
    if report.sustained.is_empty() {
        return;
    }
    out.push_str(
        "\n| work | uploads | p50 | p99 | longest | the rest published after | snapshots | kept up | \
         peak memory | reached |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &report.sustained {
        let of = &row.outcome;
        let _ = writeln!(
            out,
            "| {} | {} in {:.0} s | {} | {} | {} | {} | {} | {} | {} MiB | {} |",
            row.work,
            of.uploads,
            of.seconds,
            time(of.p50),
            time(of.p99),
            time(of.longest),
            time(of.drained),
            of.snapshots,
            yes(row.kept_up),
            row.peak_kib / 1024,
            yes(row.reached),
        );
    }
}

fn http(out: &mut String, report: &Report) {
    if report.http.is_empty() {
        return;
    }
    out.push_str(
        "\n| bins | clients | uploads a second | answered p50 | p99 | verified p50 | p99 | verified \
         | index CPU an upload | snapshots | peak memory |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &report.http {
        let _ = writeln!(
            out,
            "| {} | {} | {:.0} | {} | {} | {} | {} | {} of {} | {} | {} | {} MiB |",
            row.bins,
            row.clients,
            row.uploads_a_second,
            time(row.answered.p50),
            time(row.answered.p99),
            time(row.verified.p50),
            time(row.verified.p99),
            row.verified.count,
            row.uploads,
            time(row.server_cpu),
            row.snapshots,
            row.peak_kib / 1024,
        );
    }
}

fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "no" }
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.2} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
