//! The tables of the servers with many subscribers, as Markdown.

use std::fmt::Write;

use super::CONTESTANTS;
use super::measure::{
    CALM, CALM_MANY, COUNTED, IDLE, MANY, OTHERS, QUANTILES, calm_joined_id, client_id, cpu_id, idle_id,
    instructions_id, joined_id, latency_id, most_id, publishing_id, system_id,
};
use crate::report::Report;
use crate::report::table::{Table, number, times};

/// Who is compared with, and what that is called.
const RIVALS: [(&str, &str); 3] = [
    ("axum-sse", "times `axum-sse`"),
    ("actix-web-lab-stream", "times `actix-web-lab-stream`"),
    ("hyper-body", "times `hyper-body`"),
];

/// How many times the deliveries in a second: who, whose, with how many subscribers, and how many are aimed at.
const MOST_TARGETS: [(&str, &str, usize, f64); 10] = [
    ("ssekit-axum", "axum-sse", 1000, 6.0),
    ("ssekit-axum", "axum-sse", 5000, 8.0),
    ("ssekit-axum", "hyper-body", 1000, 0.9),
    ("ssekit-axum", "hyper-body", 5000, 0.9),
    ("ssekit-axum-serve", "axum-sse", 1000, 6.0),
    ("ssekit-axum-serve", "axum-sse", 5000, 8.0),
    ("ssekit-axum-serve", "hyper-body", 1000, 0.9),
    ("ssekit-axum-serve", "hyper-body", 5000, 0.9),
    ("ssekit-actix", "actix-web-lab-stream", 1000, 1.3),
    ("ssekit-actix", "actix-web-lab-stream", 5000, 1.3),
];

/// How many times the CPU time of `raw` a delivery may take.
const CPU_TARGETS: [(&str, f64); 3] = [("ssekit-axum", 1.45), ("ssekit-axum-serve", 1.45), ("ssekit-actix", 1.25)];

/// All of them. Who has no figures is in none.
pub fn all(report: &Report) -> String {
    let runs = report.runs.len();
    let mut text = format!("Of {runs} {}.\n\n", if runs == 1 { "run" } else { "runs" });
    let mut section = |title: &str, table: Option<Table>| {
        // Writing to a `String` has no way to fail.
        let _ = table.map(|table| writeln!(text, "### {title}\n\n{table}"));
    };
    for subscribers in MANY {
        section(&format!("The most deliveries, to {subscribers} subscribers"), most(report, subscribers));
    }
    section("What is aimed at with many subscribers", targets(report));
    section(&format!("A delivery that is a write, to one of {CALM_MANY} subscribers"), cpu(report));
    section("From publishing an event to reading it, in \u{b5}s", latency(report));
    section(&format!("Memory for each of {IDLE} idle subscribers, in KiB"), idle(report));
    section("Publishing an event that nobody gets, in ns", publishing(report));
    text
}

fn most(report: &Report, subscribers: usize) -> Option<Table> {
    let heads = ["", "thousands a second", "events in a chunk", "the client's CPU"].into_iter();
    table(heads.chain(RIVALS.map(|(_, title)| title)), |name| {
        let id = |name: &str| most_id(subscribers, name);
        let most = report.time(&id(name)).map(|ns| number(1e6 / ns));
        let joined = report.time(&joined_id(subscribers, name)).map(number);
        let client = report.time(&client_id(subscribers, name)).map(percent);
        let ratios = RIVALS.map(|(rival, _)| report.ratio(&id(name), &[id(rival)]).map(times));
        [most, joined, client].into_iter().chain(ratios).collect()
    })
}

fn targets(report: &Report) -> Option<Table> {
    let mut table = Table::new(["", "", "aimed at", "is", ""]);
    let mut is_empty = true;
    let mut judge =
        |what: String, of: String, sign: &str, aim: f64, ratio: Option<f64>, is_reached: fn(f64, f64) -> bool| {
            let Some(ratio) = ratio else { return };
            let judgement = if is_reached(ratio, aim) { "pass" } else { "miss" };
            table.row(what, [of, format!("{sign} {}", times(aim)), times(ratio), judgement.into()]);
            is_empty = false;
        };
    for (ours, rival, subscribers, least) in MOST_TARGETS {
        let ratio = report.ratio(&most_id(subscribers, ours), &[most_id(subscribers, rival)]);
        let of = format!("deliveries to {subscribers}");
        judge(format!("`{ours}` to `{rival}`"), of, "\u{2265}", least, ratio, |ratio, aim| ratio >= aim);
    }
    for (ours, most) in CPU_TARGETS {
        let ratio = report.ratio(&cpu_id("raw"), &[cpu_id(ours)]);
        let of = "CPU time of a delivery".into();
        judge(format!("`{ours}` to `raw`"), of, "\u{2264}", most, ratio, |ratio, aim| ratio <= aim);
    }
    (!is_empty).then_some(table)
}

fn cpu(report: &Report) -> Option<Table> {
    let instructions = format!("own instructions, {COUNTED} subscribers");
    let heads = ["", "\u{b5}s of CPU", "the kernel's part", "events in a chunk", "times `raw`", &instructions];
    table(heads, |name| {
        let cpu = report.time(&cpu_id(name)).map(|ns| number(ns / 1e3));
        let system = report.time(&system_id(name)).map(percent);
        let joined = report.time(&calm_joined_id(name)).map(number);
        let ratio = report.ratio(&cpu_id("raw"), &[cpu_id(name)]).map(times);
        vec![cpu, system, joined, ratio, report.time(&instructions_id(name)).map(number)]
    })
}

fn latency(report: &Report) -> Option<Table> {
    let columns: Vec<_> =
        CALM.iter().flat_map(|&(subscribers, ..)| QUANTILES.map(|quantile| (subscribers, quantile))).collect();
    let head = |&(subscribers, quantile): &(usize, f64)| format!("p{}, {subscribers}", quantile * 100.0);
    table([String::new()].into_iter().chain(columns.iter().map(head)), |name| {
        let time = |&(subscribers, quantile): &_| report.time(&latency_id(subscribers, quantile, name));
        columns.iter().map(|column| time(column).map(|ns| number(ns / 1e3))).collect()
    })
}

fn idle(report: &Report) -> Option<Table> {
    table(["", "KiB"], |name| vec![report.time(&idle_id(name)).map(|bytes| number(bytes / 1024.0))])
}

fn publishing(report: &Report) -> Option<Table> {
    let heads = OTHERS.map(|others| format!("{others} subscribers of something else"));
    table([String::new()].into_iter().chain(heads), |name| {
        OTHERS.iter().map(|&others| report.time(&publishing_id(others, name)).map(number)).collect()
    })
}

/// Nothing without figures.
fn table(
    heads: impl IntoIterator<Item = impl Into<String>>,
    cells: impl Fn(&str) -> Vec<Option<String>>,
) -> Option<Table> {
    let mut table = Table::new(heads);
    let mut is_empty = true;
    for contestant in &CONTESTANTS {
        let cells = cells(contestant.name);
        if cells.iter().any(Option::is_some) {
            table.row(format!("`{}`", contestant.name), cells.into_iter().map(Option::unwrap_or_default));
            is_empty = false;
        }
    }
    (!is_empty).then_some(table)
}

fn percent(part: f64) -> String {
    format!("{:.0}%", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    fn report(figures: impl IntoIterator<Item = (String, f64)>) -> Report {
        Report { runs: vec![Figures::from_iter(figures)], ..Report::default() }
    }

    #[test]
    fn more_deliveries_and_less_cpu_time_pass() {
        let line = |figures: [(String, f64); 2]| {
            let table = targets(&report(figures)).expect("there is a figure").to_string();
            table.lines().last().and_then(|line| line.split('|').rev().nth(1)).map(|cell| cell.trim().to_owned())
        };
        let most = |ours| [(most_id(1000, "ssekit-axum"), ours), (most_id(1000, "axum-sse"), 12.0)];
        assert_eq!(line(most(2.0)).as_deref(), Some("pass"));
        assert_eq!(line(most(2.1)).as_deref(), Some("miss"));
        let cpu = |ours| [(cpu_id("ssekit-actix"), ours), (cpu_id("raw"), 4.0)];
        assert_eq!(line(cpu(5.0)).as_deref(), Some("pass"));
        assert_eq!(line(cpu(5.1)).as_deref(), Some("miss"));
    }

    #[test]
    fn who_has_no_figures_has_no_row() {
        let report = report([(idle_id("raw"), 1024.0)]);
        assert_eq!(
            idle(&report).expect("there is a figure").to_string(),
            "|       |  KiB |\n|-------|-----:|\n| `raw` | 1.00 |\n"
        );
        assert!(latency(&report).is_none());
    }
}
