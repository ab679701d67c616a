//! The chart, as SVG.

use std::fmt::Write;

use super::{Report, decode_id};
use crate::Kind;
use crate::decoders::DECODERS;
use crate::workloads::CHUNK_16K;

const OURS: [(&str, &str, &str); 2] =
    [("ssekit-next-event", "next_event", "#2f81f7"), ("ssekit-event-stream", "EventStream", "#8957e5")];
const RIVAL: &str = "#9a8c7c";
/// Of both a light and a dark background far enough.
const TEXT: &str = "#808080";

const RIVALS: usize = 3;
const WIDTH: usize = 760;
const LEFT: usize = 170;
/// As long as a bar gets.
const LENGTH: f64 = 470.0;
const BAR: usize = 13;
const GROUP: usize = (OURS.len() + RIVALS) * BAR + 32;
const TOP: usize = 76;

struct Bar {
    name: String,
    color: &'static str,
    speed: f64,
}

/// For each workload in chunks of 16 KiB our bars and those of the best rivals, each group to a scale of its own.
pub fn svg(report: &Report) -> String {
    let groups: Vec<_> = report.decoded.iter().map(|size| (size.workload, bars(report, size))).collect();
    let height = TOP + groups.len() * GROUP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"{TEXT}\">\n\
         <title>Decoding server-sent events in chunks of 16 KiB, in GiB/s</title>\n"
    );
    text(&mut svg, 10, 22, "font-size=\"15\" font-weight=\"bold\"", "Decoding in chunks of 16 KiB, in GiB/s");
    text(
        &mut svg,
        10,
        40,
        "",
        "Longer is faster. Each workload has a scale of its own: its fastest bar is the longest.",
    );
    let legend = OURS.iter().map(|&(_, name, color)| (name, color)).chain([("the three best rivals", RIVAL)]);
    for (n, (name, color)) in legend.enumerate() {
        let x = 10 + n * 110;
        rect(&mut svg, x, 51, 10.0, 10, color);
        text(&mut svg, x + 16, 60, "", name);
    }
    for (n, (workload, bars)) in groups.iter().enumerate() {
        let top = TOP + n * GROUP;
        let longest = bars.iter().map(|bar| bar.speed).fold(f64::MIN_POSITIVE, f64::max);
        text(&mut svg, 10, top + 16, "font-weight=\"bold\"", workload);
        for (n, bar) in bars.iter().enumerate() {
            let y = top + 22 + n * BAR;
            let length = bar.speed / longest * LENGTH;
            rect(&mut svg, LEFT, y, length, BAR - 2, bar.color);
            text(&mut svg, LEFT - 8, y + BAR - 3, "text-anchor=\"end\"", &bar.name);
            text(&mut svg, LEFT + length as usize + 6, y + BAR - 3, "", &format!("{:.2}", bar.speed));
        }
    }
    svg + "</svg>\n"
}

fn bars(report: &Report, size: &super::Size) -> Vec<Bar> {
    let workload = size.workload;
    let bar = |contestant: &str, name: &str, color| {
        let time = report.time(&decode_id(workload, CHUNK_16K.0, contestant))?;
        Some(Bar { name: name.into(), color, speed: size.bytes as f64 / time * 1e9 / f64::from(1 << 30) })
    };
    let is_right = DECODERS.iter().filter(|decoder| decoder.wrong_on(workload, CHUNK_16K.1).is_none());
    let rivals = is_right.filter(|decoder| decoder.kind == Kind::Rival);
    let mut rivals: Vec<_> = rivals.filter_map(|rival| bar(rival.name, rival.name, RIVAL)).collect();
    rivals.sort_by(|a, b| b.speed.total_cmp(&a.speed));
    let ours = OURS.iter().filter_map(|&(contestant, name, color)| bar(contestant, name, color));
    ours.chain(rivals.into_iter().take(RIVALS)).collect()
}

/// No text here has a character that XML wants escaped.
fn text(svg: &mut String, x: usize, y: usize, attributes: &str, text: &str) {
    // Writing to a `String` has no way to fail.
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {attributes}>{text}</text>");
}

fn rect(svg: &mut String, x: usize, y: usize, width: f64, height: usize, color: &str) {
    let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>");
}

#[cfg(test)]
mod tests {
    use super::super::{Figures, Size};
    use super::*;

    #[test]
    fn bars_are_ours_and_the_best_rivals_to_scale() {
        let time = |name: &str, time: f64| (decode_id("ticks", CHUNK_16K.0, name), time);
        let run = Figures::from([
            time("ssekit-next-event", 2.0),
            time("ssekit-event-stream", 4.0),
            time("sseer", 8.0),
            time("russe", 1.0),
            time("eventsrc", 16.0),
            time("async-sse", 32.0),
        ]);
        let size = Size { workload: "ticks", bytes: 1 << 30, events: 1 };
        let svg = svg(&Report { runs: vec![run], decoded: vec![size], ..Report::default() });
        let attribute = |name: &str| -> Vec<_> {
            let name = format!("{name}=\"");
            let bars = svg.lines().filter(|line| line.starts_with("<rect")).skip(3);
            bars.filter_map(|bar| bar.split_once(&name)?.1.split_once('"')).map(|(value, _)| value).collect()
        };
        assert_eq!(attribute("width"), ["235.0", "117.5", "470.0", "58.8", "29.4"]);
        assert_eq!(attribute("fill"), [OURS[0].2, OURS[1].2, RIVAL, RIVAL, RIVAL]);
        assert!(svg.contains(">russe<") && !svg.contains(">async-sse<"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
