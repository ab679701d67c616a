//! The tables of both READMEs, as Markdown.

use std::fmt::Write;

use super::count::{DECODED, ENCODED};
use super::table::{Notes, Table, number};
use super::{Report, Size, decode_id, encode_id};
use crate::Kind;
use crate::decoders::{self, DECODERS, FLOORS, Gives, Ids};
use crate::encoders::{self, ENCODERS, JSON_ENCODERS};
use crate::workloads::{CHUNK_16K, CHUNK_SIZES, WHOLE};

const NEXT_EVENT: &str = "ssekit-next-event";
const EVENT_STREAM: &str = "ssekit-event-stream";

/// Returns all tables of the README of the benches.
pub fn all(report: &Report) -> String {
    let runs = report.runs.len();
    let mut text = format!("Of {runs} {}.\n\n", if runs == 1 { "run" } else { "runs" });
    let mut notes = Notes::default();
    let mut section = |title: &str, table: Table| {
        // Writing to a `String` has no way to fail.
        let _ = writeln!(text, "### {title}\n\n{table}");
    };
    for (label, chunk_size) in CHUNK_SIZES {
        section(
            &format!("Decoding in {}, in GiB/s", chunks(chunk_size)),
            speeds(report, label, chunk_size, &mut notes),
        );
    }
    section("`next_event`, times as fast as the best rival", decode_ratios(report, NEXT_EVENT, |_| true));
    section(
        "`EventStream`, times as fast as the best rival that is a stream",
        decode_ratios(report, EVENT_STREAM, |decoder| decoder.is_stream),
    );
    section("Decoding in chunks of 16 KiB, in ns for each event", decode_times(report, &mut notes));
    section("Decoding in chunks of 16 KiB, allocations for each event", decode_allocations(report));
    section("Encoding, in ns for each event", encode_times(report));
    section("Encoding, times as fast as the best rival", encode_ratios(report, Kind::Rival));
    section("Encoding, times as fast as `memcpy` of what comes out", encode_ratios(report, Kind::Floor));
    section("Encoding, allocations for each event", encode_allocations(report));
    section("Encoding JSON, for each event", json(report));
    if report.instructions.is_empty() {
        text.push_str("Instructions were not counted: there was no valgrind.\n\n");
        return text + &notes.to_string();
    }
    let groups = DECODED.map(|workload| (workload, format!("decode/{workload}/{}", CHUNK_16K.0)));
    let names = DECODERS.iter().map(|decoder| decoder.name);
    section("Decoding in chunks of 16 KiB, instructions for each event", instructions(report, &groups, names));
    let groups = ENCODED.map(|workload| (workload, format!("encode/{workload}")));
    let names = ENCODERS.iter().map(|encoder| encoder.name);
    section("Encoding, instructions for each event", instructions(report, &groups, names));
    format!("{text}{notes}")
}

/// Returns the table of the root README: each of our forms next to the best rival of its kind, on every workload.
pub fn speed(report: &Report) -> String {
    let (label, chunk_size) = CHUNK_16K;
    let mut table = Table::new([
        "GiB/s",
        "`next_event` (borrowed)",
        "best other (owned)",
        "`next_event` is",
        "`EventStream` (shared)",
        "best other stream",
        "`EventStream` is",
    ]);
    for size in &report.decoded {
        let workload = size.workload;
        let id = |name: &str| decode_id(workload, label, name);
        let gib = |name: &str| gib(report, size, &id(name)).map(number);
        let beside = |ours: &str, is_of: fn(&decoders::Contestant) -> bool| {
            let rivals = rivals(workload, chunk_size, is_of);
            let best = report.best(rivals.iter().copied(), id);
            let best_cell = best.and_then(|best| Some(format!("{} (`{best}`)", gib(best)?)));
            let ratio = report.ratio(&id(ours), &ids(&rivals, id)).map(|ratio| format!("{}x", number(ratio)));
            [gib(ours), best_cell, ratio]
        };
        let [speed, best, ratio] = beside(NEXT_EVENT, |_| true);
        let [stream, best_stream, stream_ratio] = beside(EVENT_STREAM, |decoder| decoder.is_stream);
        table.row(format!("`{workload}`"), [speed, best, ratio, stream, best_stream, stream_ratio].map(or_dash));
    }
    table.to_string()
}

/// Returns the decoders whose instructions are counted: ours, and the best rival of each kind.
pub fn decoders_to_count(report: &Report, workload: &str) -> Vec<&'static str> {
    let ours = DECODERS.iter().filter(|decoder| decoder.kind == Kind::Ours).map(|decoder| decoder.name);
    let best = [best_decoder(report, workload, |_| true), best_decoder(report, workload, |decoder| decoder.is_stream)];
    let mut names: Vec<_> = ours.collect();
    names.extend(best[0]);
    names.extend(best[1].filter(|_| best[0] != best[1]));
    names
}

pub fn encoders_to_count(report: &Report, workload: &str) -> Vec<&'static str> {
    let ours = ENCODERS.iter().filter(|encoder| encoder.kind == Kind::Ours).map(|encoder| encoder.name);
    ours.chain(best_encoder(report, &ENCODERS, workload)).collect()
}

fn best_decoder(report: &Report, workload: &str, is_of: fn(&decoders::Contestant) -> bool) -> Option<&'static str> {
    let (label, chunk_size) = CHUNK_16K;
    report.best(rivals(workload, chunk_size, is_of), |name| decode_id(workload, label, name))
}

fn best_encoder(report: &Report, encoders: &[encoders::Contestant], workload: &str) -> Option<&'static str> {
    report.best(of_kind(encoders, Kind::Rival), |name| encode_id(workload, name))
}

/// Returns the rivals of a kind that decode this workload correctly.
fn rivals(workload: &str, chunk_size: usize, is_of: fn(&decoders::Contestant) -> bool) -> Vec<&'static str> {
    let is_right = |decoder: &&decoders::Contestant| {
        decoder.kind == Kind::Rival && is_of(decoder) && decoder.wrong_on(workload, chunk_size).is_none()
    };
    DECODERS.iter().filter(is_right).map(|decoder| decoder.name).collect()
}

fn of_kind(encoders: &[encoders::Contestant], kind: Kind) -> impl Iterator<Item = &'static str> {
    encoders.iter().filter(move |encoder| encoder.kind == kind).map(|encoder| encoder.name)
}

fn ids(names: &[&str], id: impl Fn(&str) -> String) -> Vec<String> {
    names.iter().map(|name| id(name)).collect()
}

fn size<'a>(sizes: &'a [Size], workload: &str) -> Option<&'a Size> {
    sizes.iter().find(|size| size.workload == workload)
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".into())
}

fn gib(report: &Report, size: &Size, id: &str) -> Option<f64> {
    Some(size.bytes as f64 / report.time(id)? * 1e9 / f64::from(1 << 30))
}

fn chunks(chunk_size: usize) -> String {
    if chunk_size == WHOLE { "one chunk".into() } else { format!("chunks of {chunk_size} bytes") }
}

fn head(first: &[&str], sizes: &[Size]) -> Table {
    let names = sizes.iter().map(|size| format!("`{}`", size.workload));
    Table::new(first.iter().map(|&name| name.to_owned()).chain(names))
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn nature(decoder: &decoders::Contestant, notes: &mut Notes) -> String {
    let stream = if decoder.is_stream { ", stream" } else { "" };
    let mark = match (decoder.gives, decoder.ids) {
        (Gives::Tokens, _) => {
            notes.mark("Hands out pieces of lines. They are counted here, not joined, nor checked to be UTF-8.".into())
        }
        (_, Ids::OwnOnly) => notes.mark("Hands out an event's own ID, not the last one seen.".into()),
        (_, Ids::Last) => String::new(),
    };
    format!("{}{stream}{mark}", decoder.gives.name())
}

fn speeds(report: &Report, label: &str, chunk_size: usize, notes: &mut Notes) -> Table {
    let mut table = head(&["", "events are"], &report.decoded);
    for decoder in &DECODERS {
        let mut cells = vec![nature(decoder, notes)];
        for size in &report.decoded {
            let figure = gib(report, size, &decode_id(size.workload, label, decoder.name)).map(number);
            cells.push(match figure {
                None => skipped(decoder, size.workload, chunk_size, notes),
                Some(figure) => figure + &wrong(decoder, size.workload, chunk_size, notes),
            });
        }
        table.row(code(decoder.name), cells);
    }
    for floor in &FLOORS {
        let figure = |size| gib(report, size, &decode_id(size.workload, label, floor.name)).map(number);
        let cells = report.decoded.iter().map(|size| or_dash(figure(size)));
        table.row(code(floor.name), ["floor".into()].into_iter().chain(cells));
    }
    table
}

fn skipped(decoder: &decoders::Contestant, workload: &str, chunk_size: usize, notes: &mut Notes) -> String {
    let is_hopeless = (decoder.is_hopeless)(workload, chunk_size);
    let note = || format!("Not timed: {} takes seconds for each stream there.", code(decoder.name));
    format!("–{}", if is_hopeless { notes.mark(note()) } else { String::new() })
}

fn wrong(decoder: &decoders::Contestant, workload: &str, chunk_size: usize, notes: &mut Notes) -> String {
    let wrong = decoder.wrong_on(workload, chunk_size);
    let note = wrong.map(|wrong| format!("{} gets this wrong: {}.", code(decoder.name), wrong.reason));
    note.map(|note| notes.mark(note)).unwrap_or_default()
}

fn decode_ratios(report: &Report, ours: &str, is_of: fn(&decoders::Contestant) -> bool) -> Table {
    let mut table = head(&[""], &report.decoded);
    for (label, chunk_size) in CHUNK_SIZES {
        let cell = |size: &Size| {
            let id = |name: &str| decode_id(size.workload, label, name);
            let rivals = rivals(size.workload, chunk_size, is_of);
            let ratio = report.ratio(&id(ours), &ids(&rivals, id))?;
            Some(format!("{} {}", number(ratio), report.best(rivals, id)?))
        };
        table.row(chunks(chunk_size), report.decoded.iter().map(|size| or_dash(cell(size))));
    }
    table
}

fn decode_times(report: &Report, notes: &mut Notes) -> Table {
    let (label, chunk_size) = CHUNK_16K;
    let mut table = head(&[""], &report.decoded);
    for decoder in &DECODERS {
        let cell = |size: &Size| {
            let time = report.time(&decode_id(size.workload, label, decoder.name))? / size.events as f64;
            Some(number(time) + &wrong(decoder, size.workload, chunk_size, notes))
        };
        let cells: Vec<_> = report.decoded.iter().map(cell).map(or_dash).collect();
        table.row(code(decoder.name), cells);
    }
    table
}

fn decode_allocations(report: &Report) -> Table {
    let mut table = head(&[""], &report.decoded);
    for decoder in &DECODERS {
        let figure = |size: &Size| report.allocations.get(&decode_id(size.workload, CHUNK_16K.0, decoder.name));
        table.row(code(decoder.name), report.decoded.iter().map(|size| count(figure(size))));
    }
    table
}

/// Formats a count per event with two decimals. A single call for a whole stream does not show in it.
fn count(figure: Option<&f64>) -> String {
    or_dash(figure.map(|figure| format!("{figure:.2}")))
}

fn encode_times(report: &Report) -> Table {
    let mut table = head(&[""], &report.encoded);
    for encoder in &ENCODERS {
        let time = |size: &Size| report.time(&encode_id(size.workload, encoder.name)).map(|t| t / size.events as f64);
        table.row(code(encoder.name), report.encoded.iter().map(|size| or_dash(time(size).map(number))));
    }
    table
}

fn encode_ratios(report: &Report, to: Kind) -> Table {
    let mut table = head(&[""], &report.encoded);
    for ours in of_kind(&ENCODERS, Kind::Ours) {
        let cell = |size: &Size| {
            let id = |name: &str| encode_id(size.workload, name);
            let others: Vec<_> = of_kind(&ENCODERS, to).collect();
            let ratio = number(report.ratio(&id(ours), &ids(&others, id))?);
            let best = report.best(others, id).filter(|_| to == Kind::Rival);
            Some(best.map_or(ratio.clone(), |best| format!("{ratio} {best}")))
        };
        table.row(code(ours), report.encoded.iter().map(|size| or_dash(cell(size))));
    }
    table
}

fn encode_allocations(report: &Report) -> Table {
    let mut table = head(&[""], &report.encoded);
    for encoder in ENCODERS.iter().filter(|encoder| encoder.kind != Kind::Floor) {
        let figure = |size: &Size| report.allocations.get(&encode_id(size.workload, encoder.name));
        table.row(code(encoder.name), report.encoded.iter().map(|size| count(figure(size))));
    }
    table
}

fn json(report: &Report) -> Table {
    const WORKLOAD: &str = "openai-json";
    let ours: Vec<_> = of_kind(&JSON_ENCODERS, Kind::Ours).map(|name| encode_id(WORKLOAD, name)).collect();
    let events = size(&report.encoded, "openai").map(|size| size.events as f64);
    let mut table = Table::new(["", "ns", "allocations", "`EncodedEvent::json` is"]);
    for encoder in &JSON_ENCODERS {
        let id = encode_id(WORKLOAD, encoder.name);
        let time = report.time(&id).zip(events).map(|(time, events)| number(time / events));
        let ratio = |ours: &String| report.ratio(ours, std::slice::from_ref(&id)).map(|ratio| number(ratio) + "x");
        let ratio = ours.first().filter(|&ours| *ours != id).map(ratio);
        let cells = [or_dash(time), count(report.allocations.get(&id)), ratio.map(or_dash).unwrap_or_default()];
        table.row(code(encoder.name), cells);
    }
    table
}

/// Returns a table with one row for each contestant that was counted on any workload.
fn instructions<'a>(report: &Report, groups: &[(&str, String)], names: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new([String::new()].into_iter().chain(groups.iter().map(|(workload, _)| code(workload))));
    for name in names {
        let figure = |group: &str| report.instructions.get(&format!("{group}/{name}"));
        let cells: Vec<_> = groups.iter().map(|(_, group)| figure(group).map(|n| format!("{n:.0}"))).collect();
        if cells.iter().any(Option::is_some) {
            table.row(code(name), cells.into_iter().map(Option::unwrap_or_default));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::Figures;
    use super::*;

    /// Returns a report of two runs. Rivals later in the list take longer.
    fn report() -> Report {
        let mut report = Report {
            decoded: vec![Size { workload: "ticks", bytes: 1 << 20, events: 100 }],
            encoded: vec![Size { workload: "openai", bytes: 1 << 16, events: 10 }],
            ..Report::default()
        };
        for slower in [1.0, 1.5] {
            let mut run = Figures::new();
            for (chunk, chunk_size) in CHUNK_SIZES {
                let timed = DECODERS.iter().filter(|decoder| !(decoder.is_hopeless)("ticks", chunk_size));
                for (n, name) in timed.map(|decoder| decoder.name).chain(FLOORS.iter().map(|f| f.name)).enumerate() {
                    run.insert(decode_id("ticks", chunk, name), (n + 1) as f64 * 100_000.0 * slower);
                }
            }
            for (workload, encoders) in [("openai", &ENCODERS[..]), ("openai-json", &JSON_ENCODERS[..])] {
                for (n, encoder) in encoders.iter().enumerate() {
                    run.insert(encode_id(workload, encoder.name), (n + 1) as f64 * 1000.0 * slower);
                }
            }
            report.runs.push(run);
        }
        report.allocations.insert(decode_id("ticks", "16384", NEXT_EVENT), 0.001);
        report.instructions.insert(decode_id("ticks", "16384", NEXT_EVENT), 99.6);
        report
    }

    /// Returns the row `name` of the section `title`.
    fn row<'a>(text: &'a str, title: &str, name: &str) -> Vec<&'a str> {
        let (_, section) = text.split_once(&format!("### {title}\n")).unwrap_or_default();
        let row = section.lines().find(|line| line.starts_with(&format!("| {name} "))).unwrap_or_default();
        row.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn speeds_are_of_the_median() {
        let text = all(&report());
        let row = |name| row(&text, "Decoding in chunks of 64 bytes, in GiB/s", name);
        // 1 MiB in 125 us.
        assert_eq!(row("`ssekit-next-event`"), ["`ssekit-next-event`", "borrowed", "7.81"]);
        assert_eq!(row("`ssekit-event-stream`")[1], "shared, stream");
        assert_eq!(row("`memcpy`")[1], "floor");
    }

    #[test]
    fn ratios_name_the_rival() {
        let text = all(&report());
        let row = |title, name| row(&text, title, name);
        let rivals: Vec<_> = DECODERS.iter().filter(|decoder| decoder.kind == Kind::Rival).collect();
        let cell = row("`next_event`, times as fast as the best rival", "chunks of 1400 bytes")[1];
        assert_eq!(cell, format!("4.00 {}", rivals[0].name));
        let cell = row("Encoding, times as fast as the best rival", "`ssekit-bytes-mut`")[1];
        assert_eq!(cell, "2.00 axum");
        assert_eq!(row("Encoding JSON, for each event", "`axum-json`")[1..], ["250", "–", "2.00x"]);
    }

    #[test]
    fn what_is_not_timed_has_a_note() {
        let text = all(&report());
        let cell = row(&text, "Decoding in one chunk, in GiB/s", "`eventsource-stream`")[2].to_owned();
        let mark = cell.strip_prefix('–').unwrap();
        assert!(text.contains(&format!("\n{mark} Not timed: `eventsource-stream` takes seconds")), "{cell} in {text}");
    }

    #[test]
    fn counts_are_of_each_event() {
        let text = all(&report());
        let row = |title| row(&text, title, "`ssekit-next-event`");
        assert_eq!(row("Decoding in chunks of 16 KiB, allocations for each event")[1], "0.00");
        // `ticks` is the third of the four workloads.
        let title = "Decoding in chunks of 16 KiB, instructions for each event";
        assert_eq!(row(title), ["`ssekit-next-event`", "", "", "100", ""]);
        let without = all(&Report { instructions: Figures::new(), ..report() });
        assert!(without.contains("Instructions were not counted") && !without.contains("instructions for"));
    }

    #[test]
    fn the_short_table_has_the_best_rival() {
        let text = speed(&report());
        let row = text.lines().find(|line| line.contains("`ticks`")).unwrap();
        let rival = DECODERS.iter().find(|decoder| decoder.kind == Kind::Rival).unwrap().name;
        assert!(row.contains("7.81") && row.contains(&format!("(`{rival}`)")) && row.contains(" 4.00x "), "{row}");
    }

    #[test]
    fn ours_and_the_best_are_counted() {
        let names = decoders_to_count(&report(), "ticks");
        assert!(names.starts_with(&[NEXT_EVENT, EVENT_STREAM, "ssekit-lexer"]) && (4..=5).contains(&names.len()));
        assert_eq!(encoders_to_count(&report(), "openai").last(), Some(&"axum"));
    }
}
