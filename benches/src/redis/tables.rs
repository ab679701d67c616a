//! The tables of a node on Redis, as Markdown.

use std::fmt::Write;

use super::measure::{
    BURST, HUBS, OLD, OURS, PUBLISHERS, QUANTILES, RATES, READERS, SUBSCRIBERS, batch_id, fan_cpu_id, fan_id,
    fan_instructions_id, instructions_id, latency_id, publishing_cpu_id, publishing_id, reading_cpu_id, reading_id,
};
use super::publish::Load;
use crate::report::Report;
use crate::report::table::{Table, number, times};

/// All of them. What was not measured is in none.
pub fn all(report: &Report) -> String {
    let runs = report.runs.len();
    let mut text = format!("Of {runs} {}.\n\n", if runs == 1 { "run" } else { "runs" });
    let has = |name: &str| report.runs.iter().any(|run| run.keys().any(|id| id.starts_with(name)));
    let mut section = |what: &str, title: &str, table: Table| {
        if has(what) {
            // Writing to a `String` has no way to fail.
            let _ = writeln!(text, "### {title}\n\n{table}");
        }
    };
    section("publishing", "Publishing, until it is acknowledged, in thousands a second", publishing(report));
    section("publishing", "The same: `ssekit` next to the others", ratios(report));
    section("latency", "From publishing an event to reading it on another node, in \u{b5}s", latency(report));
    section("fan", &format!("Deliveries to {SUBSCRIBERS} subscribers in the process"), fan(report));
    section("reading", &format!("Reading {OLD} events"), reading(report));
    section("instructions", "A node's own instructions for each event", instructions(report));
    text
}

fn heads() -> [String; 4] {
    Load::ALL.map(|load| match load {
        Load::Tasks(1) => "1 publisher".into(),
        Load::Tasks(count) => format!("{count} publishers"),
        Load::Window(count) => format!("1 with {count} on their way"),
    })
}

fn publishing(report: &Report) -> Table {
    let last = Load::ALL[2];
    let cpu = format!("\u{b5}s of CPU, {} publishers", last.width());
    let mut table = Table::new([String::new()].into_iter().chain(heads()).chain([cpu]));
    for name in PUBLISHERS {
        let rates = Load::ALL.map(|load| report.time(&publishing_id(load, name)).map(|ns| number(1e6 / ns)));
        let cpu = report.time(&publishing_cpu_id(last, name)).map(|ns| number(ns / 1e3));
        table.row(format!("`{name}`"), rates.into_iter().chain([cpu]).map(Option::unwrap_or_default));
    }
    table
}

fn ratios(report: &Report) -> Table {
    let mut table = Table::new([String::new()].into_iter().chain(heads()));
    for name in PUBLISHERS.into_iter().filter(|name| *name != OURS) {
        let ratio = |load| {
            report.ratio(&publishing_id(load, OURS), &[publishing_id(load, name)]).map(times).unwrap_or_default()
        };
        table.row(format!("times `{name}`"), Load::ALL.map(ratio));
    }
    table.row("events in a batch", Load::ALL.map(|load| report.time(&batch_id(load)).map(number).unwrap_or_default()));
    table
}

fn latency(report: &Report) -> Table {
    let columns: Vec<_> = RATES.iter().flat_map(|(rate, _)| QUANTILES.map(|quantile| (*rate, quantile))).collect();
    let head = |(rate, quantile): &(u64, f64)| format!("p{}, {rate}/s", quantile * 100.0);
    let mut table = Table::new([String::new()].into_iter().chain(columns.iter().map(head)));
    for name in READERS {
        let cell = |(rate, quantile): &(u64, f64)| report.time(&latency_id(*rate, *quantile, name));
        table.row(
            format!("`{name}`"),
            columns.iter().map(|column| cell(column).map(|ns| number(ns / 1e3)).unwrap_or_default()),
        );
    }
    table
}

fn fan(report: &Report) -> Table {
    let most = format!("thousands a second, {BURST} events at once");
    let mut table = Table::new(["", &most, "ns of CPU", "ns of CPU, one at a time", "instructions, one at a time"]);
    let cells = |time: &dyn Fn(&str) -> Option<String>| HUBS.map(|(hub, _)| time(hub).unwrap_or_default());
    let ids: [fn(&str) -> String; 4] =
        [|hub| fan_id(BURST, hub), |hub| fan_cpu_id(BURST, hub), |hub| fan_cpu_id(1, hub), fan_instructions_id];
    let columns = ids.iter().enumerate().map(|(n, id)| {
        cells(&|hub| report.time(&id(hub)).map(|figure| number(if n == 0 { 1e6 / figure } else { figure })))
    });
    let columns: Vec<_> = columns.collect();
    for (n, (hub, _)) in HUBS.iter().enumerate() {
        table.row(*hub, columns.iter().map(|column| column[n].clone()));
    }
    table
}

fn reading(report: &Report) -> Table {
    let mut table = Table::new(["", "thousands a second", "ns of CPU"]);
    let rows = [
        ("read", "a node with no subscribers"),
        ("catch-up", "a late client, from old pages"),
        ("xrange", "`XRANGE` by hand, to values"),
    ];
    for (what, title) in rows {
        let rate = report.time(&reading_id(what)).map(|ns| number(1e6 / ns));
        let cpu = report.time(&reading_cpu_id(what)).map(number);
        table.row(title, [rate, cpu].map(Option::unwrap_or_default));
    }
    table
}

fn instructions(report: &Report) -> Table {
    let mut table = Table::new(["", "instructions"]);
    let rows = [
        ("publish", "publishing 1000 at a time, and reading them"),
        ("publish-each", "publishing one at a time, and reading it"),
        ("read", "reading, with no subscribers"),
        ("read-each", "the same, each by itself"),
        ("catch-up", "catching up, from old pages"),
    ];
    for (job, title) in rows {
        table.row(title, [report.time(&instructions_id(job)).map(number).unwrap_or_default()]);
    }
    table
}
