//! Compares the public API of each published crate with its record in `record/`.
//!
//! `scripts/public-api` builds the documentation and runs this program. The record is the text of rustdoc's pages:
//! declarations, methods and implemented traits, but no documentation. The pages also show items that macros make, which
//! a parser of the source would miss, and stable rustdoc writes them. An item that a crate re-exports has no contents in
//! that crate's record, because they are in the record of the first crate.

#![forbid(unsafe_code)]

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The published crates. One that re-exports items comes after the crate that defines them.
const CRATES: [&str; 7] =
    ["ssekit_core", "ssekit_server", "ssekit_axum", "ssekit_actix", "ssekit_redis", "ssekit_client", "ssekit"];
/// Crates of others that are re-exported. They have a semver of their own.
const FOREIGN: [&str; 2] = ["ssekit::client::reqwest", "ssekit::redis::redis"];
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record");

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [documentation] => compare(Path::new(documentation)),
        [documentation, "--update"] => update(Path::new(documentation)),
        _ => Err("usage: ssekit-public-api FOLDER_OF_RUSTDOC [--update]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(documentation: &Path) -> Result<(), String> {
    let mut differences = String::new();
    for (name, api) in records(documentation)? {
        let path = record(&name);
        let recorded = read(&path)?;
        let difference = page::difference(&recorded, &api);
        if !difference.is_empty() {
            differences += &format!("{name}:\n{difference}\n");
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{differences}The public API is not the recorded one. If that is meant, run scripts/public-api --update."
    ))
}

fn update(documentation: &Path) -> Result<(), String> {
    for (name, api) in records(documentation)? {
        let path = record(&name);
        fs::write(&path, api).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn record(name: &str) -> PathBuf {
    Path::new(RECORD).join(format!("{}.txt", name.replace('_', "-")))
}

/// The API of each crate, as text.
fn records(documentation: &Path) -> Result<BTreeMap<String, String>, String> {
    let (mut records, mut known) = (BTreeMap::new(), BTreeSet::new());
    for name in CRATES {
        let mut items = BTreeMap::new();
        collect(&documentation.join(name), name, &mut items)?;
        let mut record = String::new();
        for (item, contents) in items {
            // An item that is re-exported has the same page under another path.
            let is_new = contents.is_empty() || known.insert(contents.clone());
            record += &if is_new { format!("\n{item}\n{contents}") } else { format!("\n{item}, re-exported\n") };
        }
        records.insert(name.into(), record);
    }
    Ok(records)
}

/// The items of a module and its modules: by path and kind, the text of their pages.
fn collect(folder: &Path, module: &str, items: &mut BTreeMap<String, String>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            // The facade also shows the crates that others re-export.
            if FOREIGN.contains(&&*format!("{module}::{name}")) {
                continue;
            }
            collect(&path, &format!("{module}::{name}"), items)?;
            continue;
        }
        // Items are `kind.Name.html`; modules are folders, of which only public ones have an index.
        let parts: Vec<_> = name.split('.').collect();
        let item = match parts[..] {
            ["index", "html"] => format!("{module} mod"),
            [kind, name, "html"] => format!("{module}::{name} {kind}"),
            _ => continue,
        };
        let page = read(&path)?;
        if !page::is_redirection(&page) {
            items.insert(item, page::contents(&page));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
