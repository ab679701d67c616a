//! The tables and the chart, made of what criterion and the counters have left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde_json::Value;

use crate::workloads::Workload;

pub mod chart;
pub mod count;
pub(crate) mod table;
pub mod tables;

/// Figures by the ID that criterion has for them, such as `decode/openai/16384/sseer`.
pub type Figures = BTreeMap<String, f64>;

/// All that there is to report.
#[derive(Default)]
pub struct Report {
    /// For each run of the benches, how many ns a stream or all of a workload's events took.
    pub runs: Vec<Figures>,
    pub decoded: Vec<Size>,
    pub encoded: Vec<Size>,
    /// Allocations for each event.
    pub allocations: Figures,
    /// Instructions for each event. Empty without valgrind.
    pub instructions: Figures,
}

/// What a time is for.
pub struct Size {
    pub workload: &'static str,
    pub bytes: usize,
    pub events: usize,
}

impl From<Workload> for Size {
    fn from(workload: Workload) -> Self {
        Self { workload: workload.name, bytes: workload.stream.len(), events: workload.messages.len() }
    }
}

pub fn decode_id(workload: &str, chunk: &str, contestant: &str) -> String {
    format!("decode/{workload}/{chunk}/{contestant}")
}

pub fn encode_id(workload: &str, contestant: &str) -> String {
    format!("encode/{workload}/{contestant}")
}

impl Report {
    /// The median of the runs.
    pub fn time(&self, id: &str) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| run.get(id).copied()).collect())
    }

    /// Who of these takes the least time.
    pub fn best<'a>(&self, names: impl IntoIterator<Item = &'a str>, id: impl Fn(&str) -> String) -> Option<&'a str> {
        let times = names.into_iter().filter_map(|name| Some((name, self.time(&id(name))?)));
        times.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(name, _)| name)
    }

    /// How many times as fast as the best of `others` this is: in each run by itself, and of that the median.
    pub fn ratio(&self, id: &str, others: &[String]) -> Option<f64> {
        let of_run = |run: &Figures| {
            let best = others.iter().filter_map(|other| run.get(other)).copied().min_by(f64::total_cmp)?;
            Some(best / run.get(id)?)
        };
        median(self.runs.iter().filter_map(of_run).collect())
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().checked_sub(1)? / 2, figures.len() / 2);
    Some((figures[low] + figures[high]) / 2.0)
}

/// Reads what a run has left in criterion's directory: the median of each bench's samples, in ns.
pub fn read_run(directory: &Path) -> io::Result<Figures> {
    let mut figures = Figures::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            }
        }
        // Beside `new` there may be `base`, which is the run before.
        if directory.ends_with("new") {
            let [bench, estimates] = ["benchmark.json", "estimates.json"].map(|name| directory.join(name));
            let (bench, estimates) = (read_json(&bench)?, read_json(&estimates)?);
            let figure = bench["full_id"].as_str().zip(estimates["median"]["point_estimate"].as_f64());
            let (id, time) = figure.ok_or_else(|| io::Error::other(format!("{directory:?} is not criterion's")))?;
            figures.insert(id.to_owned(), time);
        }
    }
    Ok(figures)
}

fn read_json(path: &Path) -> io::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The text with `content` in the place of what stands between the markers of this name.
pub fn between_markers(text: &str, name: &str, content: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->\n"), format!("<!-- {name}:end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n\n{end}{after}", content.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(runs: &[&[(&str, f64)]]) -> Report {
        let figures = |run: &&[(&str, f64)]| run.iter().map(|&(id, time)| (id.to_owned(), time)).collect();
        Report { runs: runs.iter().map(figures).collect(), ..Report::default() }
    }

    #[test]
    fn times_are_medians_of_the_runs() {
        let report = report(&[&[("a", 9.0)], &[("a", 1.0)], &[("a", 2.0), ("b", 5.0)]]);
        assert_eq!(report.time("a"), Some(2.0));
        assert_eq!(report.time("b"), Some(5.0));
        assert_eq!(report.time("c"), None);
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn the_best_takes_the_least_time() {
        let report = report(&[&[("x/a", 9.0), ("x/b", 1.0)]]);
        assert_eq!(report.best(["a", "b", "c"], |name| format!("x/{name}")), Some("b"));
        assert_eq!(report.best(["c"], |name| format!("x/{name}")), None);
    }

    #[test]
    fn ratios_are_taken_within_a_run() {
        // Of the medians it would be 4 to 3.
        let runs: [&[_]; 3] = [
            &[("ours", 1.0), ("a", 2.0), ("b", 9.0)],
            &[("ours", 3.0), ("a", 15.0), ("b", 12.0)],
            &[("ours", 10.0), ("a", 30.0), ("b", 40.0)],
        ];
        assert_eq!(report(&runs).ratio("ours", &["a".into(), "b".into()]), Some(3.0));
        assert_eq!(report(&runs).ratio("ours", &["c".into()]), None);
        assert_eq!(report(&runs).ratio("c", &["a".into()]), None);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        let new = between_markers(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n");
        assert_eq!(between_markers(&new, "x", "new").as_ref(), Some(&new));
        assert_eq!(between_markers(text, "y", "new"), None);
    }

    #[test]
    fn a_run_is_read_from_what_criterion_writes() {
        let directory = tempfile();
        let new = directory.join("decode_a").join("b").join("new");
        fs::create_dir_all(&new).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"full_id":"decode/a/b","group_id":"decode/a"}"#).unwrap();
        fs::write(new.join("estimates.json"), r#"{"mean":{"point_estimate":1},"median":{"point_estimate":2.5}}"#)
            .unwrap();
        let figures = read_run(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(figures, Figures::from([("decode/a/b".to_owned(), 2.5)]));
    }

    fn tempfile() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("ssekit-benches-{}", std::process::id()))
    }
}
