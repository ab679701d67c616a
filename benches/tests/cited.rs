//! The sources that `docs/comparison.md` cites of other crates.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folder of each package that the benches depend on, by name and version.
fn packages() -> HashMap<(String, String), PathBuf> {
    let output = Command::new(env!("CARGO")).args(["metadata", "--format-version=1", "--locked", "--offline"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            ((text(&package["name"]), text(&package["version"])), manifest.parent().unwrap().to_owned())
        })
        .collect()
}

/// Returns the versions in the row "version compared", by the names in the head of that table.
fn versions(page: &str) -> HashMap<&str, &str> {
    let lines: Vec<&str> = page.lines().collect();
    let row = lines.iter().position(|line| line.starts_with("| version compared |")).unwrap();
    lines[row - 2].split('|').map(str::trim).zip(lines[row].split('|').map(str::trim)).collect()
}

/// A note is a list of `crate: ` and, after that, pairs of `` `path:line` `text` ``.
#[test]
fn cited_lines_have_the_cited_text() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/comparison.md")).unwrap();
    let (packages, versions) = (packages(), versions(&page));
    let mut count = 0;
    for note in page.lines().filter_map(|line| line.strip_prefix("[^")?.split_once("]: ")).map(|(_, note)| note) {
        let mut folder = None;
        let mut cited: Option<(&str, usize)> = None;
        for (n, part) in note.split('`').enumerate() {
            if n % 2 == 0 {
                let sentence = part.rsplit(". ").next().unwrap().trim_start();
                let named = versions.iter().find(|(name, _)| sentence.starts_with(&format!("{name}: ")));
                if let Some((name, version)) = named.filter(|(name, _)| **name != "ssekit") {
                    folder = Some(&packages[&(name.to_string(), version.to_string())]);
                } else if sentence.starts_with("actix-server 2.10.0") {
                    folder = Some(&packages[&("actix-server".to_owned(), "2.10.0".to_owned())]);
                }
            } else if let Some((path, line)) = cited.take() {
                let folder = folder.unwrap_or_else(|| panic!("no crate in {note}"));
                let source = fs::read_to_string(folder.join(path)).unwrap();
                let found = source.lines().nth(line - 1).unwrap_or_default();
                assert!(found.contains(part), "{path}:{line} is {found:?}, cited in {note}");
                count += 1;
            } else {
                cited = part.split_once(':').and_then(|(path, line)| Some((path, line.parse().ok()?)));
            }
        }
        assert!(cited.is_none(), "a line without a text in {note}");
    }
    assert!(count >= 30, "{count} lines are cited");
}
