//! The floors of ARCHITECTURE.md: an arrow points only to a lower one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::Table;

/// Packages by floor. Those on one floor do not know each other.
const PACKAGES: [(&str, &str, u32); 7] = [
    ("sse-core", "ssekit-core", 0),
    ("sse-server", "ssekit-server", 1),
    ("sse-client", "ssekit-client", 1),
    ("sse-axum", "ssekit-axum", 2),
    ("sse-actix", "ssekit-actix", 2),
    ("sse-redis", "ssekit-redis", 2),
    (".", "ssekit", 3),
];

/// All that core may depend on: no runtime, no framework.
const CORE_DEPENDENCIES: [&str; 8] =
    ["bytes", "bytestring", "futures-core", "memchr", "pin-project-lite", "serde", "serde_json", "simdutf8"];

/// Modules by floor, for each package that has several.
const MODULES: [(&str, &[(&str, u32)]); 8] = [
    (
        "sse-core",
        &[
            ("buffer", 0),
            ("limits", 0),
            ("message_event", 0),
            ("unchecked", 0),
            ("sink", 1),
            ("text", 1),
            ("lexer", 2),
            ("utf8", 2),
            ("event", 3),
            ("block", 3),
            ("decoder", 4),
            ("encode", 4),
            ("owned", 4),
            ("frame", 5),
            ("stream", 5),
            ("relay", 6),
        ],
    ),
    (
        "sse-server",
        &[
            ("accept", 0),
            ("pool", 0),
            ("batch", 1),
            ("into_event", 2),
            ("response", 0),
            ("schedule", 0),
            ("socket", 0),
            ("test", 0),
            ("keep_alive", 1),
            ("last_event_id", 0),
            ("close", 1),
            ("control", 2),
            ("channel", 3),
            ("drain", 3),
            ("preface", 0),
            ("from_fn", 4),
            ("links", 4),
            ("serve", 5),
            ("body", 5),
            ("hub", 6),
        ],
    ),
    (
        "sse-server/src/hub",
        &[
            ("disconnect", 0),
            ("options", 0),
            ("position", 0),
            ("store", 0),
            ("waiters", 0),
            ("compaction", 1),
            ("epochs", 1),
            ("publishing", 1),
            ("rejection", 1),
            ("resume", 1),
            ("feeds", 2),
            ("new_event", 2),
            ("subscribe", 2),
            ("view", 3),
            ("page", 4),
            ("registry", 4),
            ("deadlines", 5),
            ("state", 6),
            ("hand_over", 7),
            ("reading", 7),
            ("recent_events", 7),
            ("start_point", 7),
            ("stats", 7),
            ("ending", 8),
            ("log", 8),
            ("subscribing", 8),
            ("history_page", 9),
            ("inner", 9),
            ("memory_log", 9),
            ("subscription", 10),
            ("response", 11),
        ],
    ),
    (
        "sse-client",
        &[
            ("client", 0),
            ("machine", 0),
            ("retry_after", 0),
            ("comments", 1),
            ("error", 1),
            ("item", 1),
            ("request", 2),
            ("event_source", 3),
            ("builder", 4),
        ],
    ),
    ("sse-client/src/machine", &[("exchange", 0), ("failure", 0), ("invalid", 1), ("retry", 1), ("target", 1)]),
    ("sse-axum", &[("serve", 0)]),
    ("sse-actix", &[("server", 0), ("test", 0)]),
    (
        "sse-redis",
        &[
            ("error", 0),
            ("options", 0),
            ("source", 0),
            ("status", 0),
            ("entry", 1),
            ("queue", 1),
            ("connection", 2),
            ("epoch", 3),
            ("shared", 3),
            ("maintenance", 4),
            ("reader", 4),
            ("writer", 4),
            ("log", 5),
        ],
    ),
];

fn manifest(folder: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn dependencies(manifest: &Table, kind: &str) -> BTreeSet<String> {
    manifest.get(kind).and_then(|table| table.as_table()).into_iter().flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn packages_depend_on_lower_floors_only() {
    for (folder, package, floor) in PACKAGES {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(package));
        let needed = dependencies(&manifest, "dependencies");
        assert!(!needed.contains("ssekit-testkit"), "{package} needs the testkit, which is for tests");
        for (_, other, other_floor) in PACKAGES {
            let is_upward = needed.contains(other) && other_floor >= floor;
            assert!(!is_upward, "{package} on floor {floor} needs {other} on floor {other_floor}");
        }
        assert_eq!(dependencies(&manifest, "build-dependencies"), BTreeSet::new(), "{package} is built by a program");
    }
}

#[test]
fn every_package_is_in_the_table() {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap());
    let missing: Vec<_> = members
        .filter(|member| !member.starts_with("testkit") && PACKAGES.iter().all(|(folder, ..)| folder != member))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn core_names_no_runtime_and_no_framework() {
    let needed = dependencies(&manifest("sse-core"), "dependencies");
    assert_eq!(needed, CORE_DEPENDENCIES.map(String::from).into());
}

#[test]
fn modules_use_lower_floors_only() {
    for (folder, modules) in MODULES {
        // A module of several files has floors of its own, and calls itself `super`.
        let is_nested = folder.contains("/src/");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(if is_nested { "" } else { "src" });
        let (root, marker) = if is_nested { ("mod", "super::") } else { ("lib", "crate::") };
        for entry in fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap();
            if module == root {
                continue;
            }
            let own = floor(modules, module).unwrap_or_else(|| panic!("{module} of {folder} is not in the table"));
            let file = if path.is_dir() { path.join("mod.rs") } else { path.clone() };
            for (name, other) in uses(&file, marker, modules) {
                assert!(other < own, "{folder}: {module} on floor {own} uses {name} on floor {other}");
            }
        }
    }
    for (package, module) in [("sse-server", "hub"), ("sse-client", "machine")] {
        let modules = MODULES.iter().find(|(folder, _)| *folder == package).unwrap().1;
        let own = floor(modules, module).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(package).join("src").join(module)).unwrap()
        {
            for (name, other) in uses(&entry.unwrap().path(), "crate::", modules) {
                assert!(other < own, "{package}: {module} on floor {own} uses {name} on floor {other}");
            }
        }
    }
}

fn floor(modules: &[(&str, u32)], name: &str) -> Option<u32> {
    modules.iter().find(|(module, _)| *module == name).map(|(_, floor)| *floor)
}

/// The modules that a file uses, and their floors.
fn uses(file: &Path, marker: &str, modules: &[(&str, u32)]) -> Vec<(String, u32)> {
    let text = fs::read_to_string(file).unwrap();
    let mut used = Vec::new();
    // What is documented may be above.
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    // A macro's `$crate::` is used by whom it is for.
    let is_macros = |line: &str, at: usize| line[..at].ends_with('$') || line.contains("#[doc");
    let uses = code.flat_map(|line| line.match_indices(marker).map(move |(at, _)| (line, at)));
    for (line, at) in uses.filter(|(line, at)| !is_macros(line, *at)) {
        let rest = &line[at + marker.len()..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match floor(modules, &name) {
            Some(other) => used.push((name, other)),
            // Tests have all of their module.
            None if name.is_empty() && rest.starts_with('*') => {}
            // A line like `use crate::{...}` would hide from this test.
            None => panic!("{} uses {marker}{name}: name its module", file.display()),
        }
    }
    used
}

/// `unsafe` of a library lives in one module.
#[test]
fn unsafe_code_is_in_one_place() {
    for (folder, ..) in PACKAGES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src");
        let nested =
            ["hub", "machine"].into_iter().flat_map(|module| fs::read_dir(source.join(module)).into_iter().flatten());
        let entries = fs::read_dir(&source).unwrap().chain(nested);
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let is_unsafe = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
            });
            assert_eq!(is_unsafe, path.ends_with("sse-core/src/unchecked.rs"), "unsafe code in {}", path.display());
        }
    }
}
