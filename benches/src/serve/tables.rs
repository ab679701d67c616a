//! The tables of the servers, as Markdown.

use std::fmt::Write;

use super::measure::{
    CONNECTIONS, IDLE, SETUPS, TRACED, calls_id, faults_id, firehose_id, idle_id, latency_id, system_id,
};
use super::{CONTESTANTS, Contestant};
use crate::report::Report;
use crate::report::table::{Table, number, times};

/// Who is compared with, and what that is called.
const RIVALS: [(&str, &str); 2] = [("axum-sse", "times `axum-sse`"), ("actix-web-lab", "times `actix-web-lab`")];

/// How many times the events in the same CPU time: who, whose, and how many are aimed at.
const TARGETS: [(&str, &str, f64); 7] = [
    ("ssekit-axum", "axum-sse", 5.0),
    ("ssekit-axum-serve", "axum-sse", 5.0),
    ("ssekit-axum-items", "axum-sse", 5.0),
    ("ssekit-actix", "actix-web-lab", 1.3),
    ("ssekit-actix-items", "actix-web-lab", 1.3),
    ("ssekit-actix", "actix-web-lab-channel", 2.5),
    ("ssekit-actix-items", "actix-web-lab-channel", 2.5),
];

/// All of them. Who has no figures is in none.
pub fn all(report: &Report) -> String {
    let runs = report.runs.len();
    let mut text = format!("Of {runs} {}.\n\n", if runs == 1 { "run" } else { "runs" });
    let mut section = |title: &str, table: Table| {
        // Writing to a `String` has no way to fail.
        let _ = writeln!(text, "### {title}\n\n{table}");
    };
    for connections in CONNECTIONS {
        let title = format!("Events as fast as they go, {}", to(connections));
        section(&title, firehose(report, connections));
    }
    section("What is aimed at: times the events in the same CPU time", targets(report));
    section(&format!("System calls for 1,000 events, of {TRACED} to one connection"), calls(report));
    section(&format!("Memory for each of {IDLE} idle streams, in KiB"), idle(report));
    section("From publishing a lone event to reading it, in \u{b5}s", latency(report));
    text
}

fn firehose(report: &Report, connections: usize) -> Table {
    let heads = ["", "ns of CPU each", "the kernel's part", "page faults for 1,000"].into_iter();
    let mut table = Table::new(heads.chain(RIVALS.map(|(_, title)| title)));
    for contestant in &CONTESTANTS {
        let id = |name: &str| firehose_id(connections, name);
        let time = report.time(&id(contestant.name)).map(number);
        let system = report.time(&system_id(connections, contestant.name));
        let system = system.map(|part| format!("{:.0}%", part * 100.0));
        let ratios = RIVALS.map(|(rival, _)| report.ratio(&id(contestant.name), &[id(rival)]).map(times));
        let faults = report.time(&faults_id(connections, contestant.name)).map(|faults| format!("{:.2}", faults * 1e3));
        row(&mut table, contestant, [time, system, faults].into_iter().chain(ratios));
    }
    table
}

fn targets(report: &Report) -> Table {
    let mut table = Table::new(["", "aimed at", &to(CONNECTIONS[0]), &to(CONNECTIONS[1]), ""]);
    for (ours, rival, least) in TARGETS {
        let ratio = |connections| report.ratio(&firehose_id(connections, ours), &[firehose_id(connections, rival)]);
        let Some(ratios) = CONNECTIONS.map(ratio).into_iter().collect::<Option<Vec<_>>>() else { continue };
        let judgement = if ratios.iter().all(|&ratio| ratio >= least) { "pass" } else { "miss" };
        let cells = [least, ratios[0], ratios[1]].map(times).into_iter();
        table.row(format!("`{ours}` to `{rival}`"), cells.chain([judgement.into()]));
    }
    table
}

fn calls(report: &Report) -> Table {
    let mut table = Table::new(["", "writes", "writes, reads and waits"]);
    for contestant in &CONTESTANTS {
        let calls = |are_writes| report.time(&calls_id(are_writes, contestant.name));
        row(&mut table, contestant, [true, false].map(|are_writes| calls(are_writes).map(|calls| number(calls * 1e3))));
    }
    table
}

fn idle(report: &Report) -> Table {
    let mut table = Table::new(["", "3 routes", "100 routes", "100, `into_make_service`"]);
    for contestant in &CONTESTANTS {
        let memory = |(setup, _)| report.time(&idle_id(setup, contestant.name));
        row(&mut table, contestant, SETUPS.map(|setup| memory(setup).map(|bytes| number(bytes / 1024.0))));
    }
    table
}

fn latency(report: &Report) -> Table {
    let columns = CONNECTIONS.iter().flat_map(|&connections| [50, 99].map(|percent| (connections, percent)));
    let columns: Vec<_> = columns.collect();
    let heads = columns.iter().map(|&(connections, percent)| format!("p{percent}, {}", to(connections)));
    let mut table = Table::new([String::new()].into_iter().chain(heads));
    for contestant in &CONTESTANTS {
        let time = |&(connections, percent): &_| report.time(&latency_id(connections, percent, contestant.name));
        row(&mut table, contestant, columns.iter().map(|column| time(column).map(|ns| number(ns / 1e3))));
    }
    table
}

fn row(table: &mut Table, contestant: &Contestant, cells: impl IntoIterator<Item = Option<String>>) {
    let cells: Vec<_> = cells.into_iter().collect();
    if cells.iter().any(Option::is_some) {
        table.row(format!("`{}`", contestant.name), cells.into_iter().map(Option::unwrap_or_default));
    }
}

fn to(connections: usize) -> String {
    format!("{connections} {}", if connections == 1 { "connection" } else { "connections" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn an_aim_is_missed_with_any_connections() {
        let line = |ours_with_16| {
            let ids = [("ssekit-axum", 1.0, ours_with_16), ("axum-sse", 6.0, 6.0)];
            let figures =
                ids.map(|(name, with_1, with_16)| [(firehose_id(1, name), with_1), (firehose_id(16, name), with_16)]);
            let report = Report { runs: vec![Figures::from_iter(figures.into_iter().flatten())], ..Report::default() };
            targets(&report).to_string().lines().last().map(str::to_owned)
        };
        let expected = "| `ssekit-axum` to `axum-sse` |    5.00x |        6.00x |          6.00x | pass |";
        assert_eq!(line(1.0).as_deref(), Some(expected));
        let expected = "| `ssekit-axum` to `axum-sse` |    5.00x |        6.00x |          3.00x | miss |";
        assert_eq!(line(2.0).as_deref(), Some(expected));
    }

    #[test]
    fn who_has_no_figures_has_no_row() {
        let figures = Figures::from([(calls_id(true, "axum-sse"), 0.0625), (calls_id(false, "axum-sse"), 0.0634)]);
        let report = Report { runs: vec![figures], ..Report::default() };
        assert_eq!(
            calls(&report).to_string(),
            "|            | writes | writes, reads and waits |\n\
             |------------|-------:|------------------------:|\n\
             | `axum-sse` |   62.5 |                    63.4 |\n"
        );
    }
}
