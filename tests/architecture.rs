//! The floors of ARCHITECTURE.md: an arrow points only to a lower one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::Table;

/// Packages by floor. Those on one floor do not know each other.
const PACKAGES: [(&str, &str, u32); 5] = [
    ("sse-core", "ssekit-core", 0),
    ("sse-server", "ssekit-server", 1),
    ("sse-axum", "ssekit-axum", 2),
    ("sse-actix", "ssekit-actix", 2),
    (".", "ssekit", 3),
];

/// All that core may depend on: no runtime, no framework.
const CORE_DEPENDENCIES: [&str; 8] =
    ["bytes", "bytestring", "futures-core", "memchr", "pin-project-lite", "serde", "serde_json", "simdutf8"];

/// Modules by floor, for each package that has several.
const MODULES: [(&str, &[(&str, u32)]); 4] = [
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
            ("into_frame", 2),
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
        ],
    ),
    ("sse-axum", &[("serve", 0)]),
    ("sse-actix", &[("server", 0), ("test", 0)]),
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
    let missing: Vec<_> =
        members.filter(|member| *member != "testkit" && PACKAGES.iter().all(|(folder, ..)| folder != member)).collect();
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
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src");
        let floor = |name: &str| modules.iter().find(|(module, _)| *module == name).map(|(_, floor)| *floor);
        for entry in fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap();
            if module == "lib" {
                continue;
            }
            let own = floor(module).unwrap_or_else(|| panic!("{module} of {folder} is not in the table"));
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for used in code.flat_map(|line| line.split("crate::").skip(1)) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = floor(&name) else {
                    // A macro's `$crate::`, or a line like `use crate::{...}`, which would hide from this test.
                    assert!(
                        text.contains(&format!("$crate::{name}")),
                        "{folder}/{module} uses crate::{name}: name its module"
                    );
                    continue;
                };
                assert!(other < own, "{folder}: {module} on floor {own} uses {name} on floor {other}");
            }
        }
    }
}

/// `unsafe` of a library lives in one module.
#[test]
fn unsafe_code_is_in_one_place() {
    for (folder, ..) in PACKAGES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src");
        for entry in fs::read_dir(&source).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let is_unsafe = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
            });
            assert_eq!(is_unsafe, path.ends_with("sse-core/src/unchecked.rs"), "unsafe code in {}", path.display());
        }
    }
}
