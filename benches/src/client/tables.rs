//! The tables of the clients in Markdown.

use std::fmt::Write;

use super::feed::{PACE, WORKLOADS, Writes};
use super::measure::{COUNTED, IDLE, LONE, fast, id};
use super::{CONTESTANTS, Contestant};
use crate::Kind;
use crate::report::Report;
use crate::report::table::{Table, number, times};

/// The client that the others are compared with.
const OURS: &str = "ssekit-event-source";

/// Returns all tables. A table without figures is omitted.
pub fn all(report: &Report) -> String {
    let runs = report.runs.len();
    let mut text = format!("Of {runs} {}.\n\n", if runs == 1 { "run" } else { "runs" });
    let has = |figure: &str| report.runs.iter().any(|run| run.keys().any(|id| id.starts_with(figure)));
    let mut section = |is_there: bool, title: &str, table: Table| {
        if is_there {
            // Writing to a `String` has no way to fail.
            let _ = writeln!(text, "### {title}\n\n{table}");
        }
    };
    let is_fast = has(&id("cpu", WORKLOADS[0], Writes::Large, ""));
    section(is_fast, "Events for each second of CPU, in thousands, in writes of 16 KiB", rates(report, Writes::Large));
    section(is_fast, "The same, each event a write", rates(report, Writes::Each));
    section(is_fast, &format!("The same: `{OURS}` next to the others"), ratios(report));
    section(is_fast, "Allocations for each event", counts(report, "allocations", &fast()));
    let title = format!("A lone event of `{LONE}` every {} \u{b5}s", PACE.as_micros());
    section(has(&id("cpu", LONE, Writes::Lone, "")), &title, lone(report));
    section(has("instructions/"), "Own instructions for each event", counts(report, "instructions", &COUNTED));
    section(has("idle/"), &format!("Memory for each of {IDLE} idle streams, in KiB"), idle(report));
    text
}

fn rates(report: &Report, writes: Writes) -> Table {
    let heads = WORKLOADS.map(|workload| format!("`{workload}`"));
    let mut table = Table::new(["".into(), "events are".into()].into_iter().chain(heads));
    for contestant in &CONTESTANTS {
        let rate = |workload| report.time(&id("cpu", workload, writes, contestant.name)).map(|ns| number(1e6 / ns));
        row(&mut table, &name(contestant), Some(contestant.gives.to_string()), WORKLOADS.map(rate));
    }
    table
}

fn head((workload, writes): (&str, Writes)) -> String {
    format!("`{workload}`{}", if writes == Writes::Each { ", each a write" } else { "" })
}

fn ratios(report: &Report) -> Table {
    let mut table = Table::new([String::new()].into_iter().chain(fast().into_iter().map(head)));
    for other in CONTESTANTS.iter().filter(|contestant| contestant.name != OURS) {
        let ratio = |(workload, writes)| {
            let [ours, other] = [OURS, other.name].map(|name| id("cpu", workload, writes, name));
            report.ratio(&ours, &[other]).map(times)
        };
        row(&mut table, &format!("times `{}`", other.name), None, fast().into_iter().map(ratio));
    }
    table
}

fn counts(report: &Report, figure: &str, feeds: &[(&str, Writes)]) -> Table {
    let mut table = Table::new([String::new()].into_iter().chain(feeds.iter().map(|feed| head(*feed))));
    for contestant in &CONTESTANTS {
        let count = |&(workload, writes): &(&str, _)| report.time(&id(figure, workload, writes, contestant.name));
        row(&mut table, &name(contestant), None, feeds.iter().map(|feed| count(feed).map(number)));
    }
    table
}

fn lone(report: &Report) -> Table {
    let rivals = CONTESTANTS.iter().filter(|contestant| contestant.kind == Kind::Rival);
    let rivals: Vec<_> = rivals.map(|rival| rival.name).collect();
    let heads = ["", "\u{b5}s of CPU", "waits", "allocations"].map(str::to_owned);
    let mut table = Table::new(heads.into_iter().chain(rivals.iter().map(|rival| format!("CPU, of `{rival}`'s"))));
    for contestant in &CONTESTANTS {
        let id = |figure: &str, name: &str| id(figure, LONE, Writes::Lone, name);
        let figure = |figure: &str| report.time(&id(figure, contestant.name));
        let figures =
            [figure("cpu").map(|ns| number(ns / 1e3)), figure("waits").map(number), figure("allocations").map(number)];
        let ratio = |rival: &&str| report.ratio(&id("cpu", rival), &[id("cpu", contestant.name)]).map(times);
        row(&mut table, &name(contestant), None, figures.into_iter().chain(rivals.iter().map(ratio)));
    }
    table
}

fn idle(report: &Report) -> Table {
    let mut table = Table::new(["", "KiB"]);
    for contestant in &CONTESTANTS {
        let bytes = report.time(&id("idle", LONE, Writes::Idle, contestant.name));
        row(&mut table, &name(contestant), None, [bytes.map(|bytes| number(bytes / 1024.0))]);
    }
    table
}

fn name(contestant: &Contestant) -> String {
    format!("`{}`", contestant.name)
}

/// Adds a row if it has figures.
fn row(table: &mut Table, name: &str, first: Option<String>, figures: impl IntoIterator<Item = Option<String>>) {
    let figures: Vec<_> = figures.into_iter().collect();
    if figures.iter().any(Option::is_some) {
        table.row(name, first.into_iter().chain(figures.into_iter().map(Option::unwrap_or_default)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn ratio_is_below_one_for_a_faster_client() {
        let of = |name, ns| (id("cpu", "openai", Writes::Large, name), ns);
        let figures = Figures::from([of(OURS, 100.0), of("tcp", 50.0)]);
        let report = Report { runs: vec![figures], ..Report::default() };
        let lines = |table: Table| table.to_string().lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        let rates = lines(super::rates(&report, Writes::Large));
        assert_eq!(rates.len(), 2);
        assert!(rates[0].contains(" 10000 |") && rates[1].contains(" 20000 |"), "{rates:?}");
        let ratios = lines(ratios(&report));
        assert_eq!(ratios.len(), 1);
        assert!(ratios[0].starts_with("| times `tcp` |") && ratios[0].contains(" 0.50x |"), "{ratios:?}");
    }

    #[test]
    fn table_without_figures_is_omitted() {
        let figures = Figures::from([(id("idle", LONE, Writes::Idle, OURS), 4096.0)]);
        let report = Report { runs: vec![figures], ..Report::default() };
        assert_eq!(
            all(&report),
            "Of 1 run.\n\n### Memory for each of 200 idle streams, in KiB\n\n\
             |                       |  KiB |\n\
             |-----------------------|-----:|\n\
             | `ssekit-event-source` | 4.00 |\n\n"
        );
    }
}
