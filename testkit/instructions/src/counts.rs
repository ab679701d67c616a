//! Reads, writes and compares the file of counts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The factor by which a count may grow.
const MAX_GROWTH: f64 = 1.02;
/// The tolerance for rounding: counts in the file have one decimal place.
const ROUNDING: f64 = 0.1;

const HEADER: &str = "\
# CPU instructions for one event of each workload, counted by callgrind. See src/main.rs.
#
# `scripts/instructions` fails when a count grows by more than 2 %.
# `scripts/instructions --update` writes this file. A commit that changes a count says why in its message.
# A count may also grow because rustc or a dependency changed; then the message says which.
";

/// The tools and the CPU features on which a count depends besides the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment(String);

impl Environment {
    /// Returns compiler, target, C library (its `memcpy` is in the counts) and the SIMD that programs choose at run time.
    pub(crate) fn current() -> Result<Self, String> {
        let rustc = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
        let rustc = String::from_utf8_lossy(&rustc.stdout).into_owned();
        let field = |name| rustc.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
        let (version, host) = (rustc.lines().next().unwrap_or("unknown"), field("host: "));
        Ok(Self(format!("{version}, {host}, {}, {}", c_library(), simd())))
    }
}

fn c_library() -> String {
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    version.map_or_else(|_| "unknown libc".into(), |output| String::from_utf8_lossy(&output.stdout).trim().into())
}

#[cfg(target_arch = "x86_64")]
fn simd() -> &'static str {
    if std::is_x86_feature_detected!("avx2") { "AVX2" } else { "no AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn simd() -> &'static str {
    "SIMD of the target"
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of instructions of each workload.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) environment: Environment,
    counts: BTreeMap<String, f64>,
}

impl Counts {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, counts: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, name: &str, count: f64) {
        self.counts.insert(name.into(), count);
    }

    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|line| format!("{}: no count in the line {line:?}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        std::fs::write(path, self.to_string()).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, &str> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let environment = lines.next().and_then(|line| line.strip_prefix("environment: ")).unwrap_or_default();
        let mut counts = Self::new(Environment(environment.into()));
        for line in lines {
            let (name, count) = line.rsplit_once(' ').ok_or(line)?;
            counts.insert(name.trim_end(), count.parse().map_err(|_| line)?);
        }
        Ok(counts)
    }

    /// Formats a table of all counts, next to the counts of `before`.
    pub(crate) fn table(&self, before: &Self) -> String {
        let mut table = format!("{:<44} {:>10} {:>10} {:>8}", "instructions for one event", "before", "after", "%");
        for (name, after) in &self.counts {
            table += &match before.counts.get(name) {
                Some(before) => format!("\n{name:<44} {before:>10.1} {after:>10.1} {:>+8.1}", percent(*before, *after)),
                None => format!("\n{name:<44} {:>10} {after:>10.1} {:>8}", "", "new"),
            };
        }
        table
    }

    /// Returns a sentence for each workload that grew, is missing in the file, or is only in the file.
    pub(crate) fn failures(&self, before: &Self) -> Vec<String> {
        let grown = self.counts.iter().filter_map(|(name, &after)| match before.counts.get(name) {
            None => Some(format!("{name:?} is not in counts.txt: run scripts/instructions --update")),
            Some(&before) if after <= before * MAX_GROWTH + ROUNDING => None,
            Some(&before) => Some(format!(
                "{name:?} grew by {:.1} %, from {before:.1} to {after:.1} instructions; at most 2 % are allowed",
                percent(before, after)
            )),
        });
        let gone = before.counts.keys().filter(|name| !self.counts.contains_key(*name));
        let gone =
            gone.map(|name| format!("{name:?} in counts.txt is not a workload: run scripts/instructions --update"));
        grown.chain(gone).collect()
    }
}

fn percent(before: f64, after: f64) -> f64 {
    (after / before - 1.0) * 100.0
}

/// Formats the file of counts.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}\nenvironment: {}\n\n", self.environment)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name:<44} {count:>10.1}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, f64)]) -> Counts {
        let mut all = Counts::new(Environment("rustc 1".into()));
        counts.iter().for_each(|(name, count)| all.insert(name, *count));
        all
    }

    #[test]
    fn file_reads_as_it_was_written() {
        let written = counts(&[("decode openai", 270.25), ("encode 5 bytes", 115.0)]);
        let read = Counts::parse(&written.to_string()).unwrap();
        assert_eq!(read.environment, written.environment);
        assert!(read.failures(&written).is_empty() && written.failures(&read).is_empty());
    }

    #[test]
    fn file_with_a_broken_line_is_an_error() {
        assert_eq!(Counts::parse("environment: x\n\ndecode openai many").unwrap_err(), "decode openai many");
    }

    #[test]
    fn growth_by_more_than_two_percent_fails() {
        let before = counts(&[("a", 1000.0), ("b", 1000.0), ("c", 1000.0)]);
        let after = counts(&[("a", 1019.0), ("b", 1030.0), ("c", 500.0)]);
        let failure = "\"b\" grew by 3.0 %, from 1000.0 to 1030.0 instructions; at most 2 % are allowed";
        assert_eq!(after.failures(&before), [failure]);
    }

    #[test]
    fn workload_missing_on_either_side_fails() {
        let failures = counts(&[("new", 1.0)]).failures(&counts(&[("old", 1.0)]));
        assert_eq!(failures.len(), 2);
        assert!(failures[0].contains("\"new\"") && failures[1].contains("\"old\""), "{failures:?}");
    }
}
