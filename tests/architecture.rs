//! The direction of dependencies: packages depend on lower floors only, and modules have no circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

/// For each module of a folder, the modules of that folder that its code names.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Reads the modules of a folder. A module that is a folder counts as one.
fn graph(folder: &Path, marker: &str) -> Graph {
    let is_module = |path: &Path| path.extension().is_none_or(|extension| extension == "rs");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_module(path));
    let mut graph = Graph::new();
    for path in paths {
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if module != "lib" && module != "mod" && module != "tests" {
            let used = graph.entry(module).or_default();
            files(&path).iter().for_each(|file| used.extend(names(file, marker)));
        }
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for (module, used) in &mut graph {
        used.retain(|name| name != module && modules.contains(name));
    }
    graph
}

/// The files of a module, without its tests.
fn files(path: &Path) -> Vec<PathBuf> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("tests.rs" | "tests") => Vec::new(),
        _ if path.is_dir() => fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect(),
        _ => vec![path.to_owned()],
    }
}

/// The names after `marker` in the code of a file, without comments, tests and macros for other crates.
fn names(file: &Path, marker: &str) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("doc = "));
    let uses = lines.flat_map(|line| line.match_indices(marker).map(move |(at, _)| (&line[..at], &line[at..])));
    uses.filter(|(before, _)| !before.ends_with('$') && !before.ends_with("super::"))
        .map(|(_, rest)| {
            let rest = rest.trim_start_matches(marker);
            let hides = rest.starts_with('{') && rest.contains("::");
            assert!(!hides, "{}: name the module in {marker}{rest}", file.display());
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

/// A way from `module` back to it.
fn cycle(graph: &Graph, module: &str, way: &mut Vec<String>, seen: &mut BTreeSet<String>) -> bool {
    let Some(used) = graph.get(module) else { return false };
    way.push(module.to_owned());
    for next in used {
        if way.first() == Some(next) || (seen.insert(next.clone()) && cycle(graph, next, way, seen)) {
            return true;
        }
    }
    way.pop();
    false
}

#[test]
fn modules_do_not_depend_on_each_other_in_circles() {
    for (folder, ..) in PACKAGES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src");
        let nested = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let folders = [(source.clone(), "crate::")].into_iter().chain(nested.map(|path| (path, "super::")));
        for (folder, marker) in folders {
            let graph = graph(&folder, marker);
            for module in graph.keys() {
                let mut way = Vec::new();
                let is_circle = cycle(&graph, module, &mut way, &mut BTreeSet::new());
                assert!(!is_circle, "{}: {} -> {module}", folder.display(), way.join(" -> "));
            }
        }
    }
}

#[test]
fn circle_of_modules_is_found() {
    let edge = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(ToString::to_string).collect());
    let graph = Graph::from([edge("a", &["b"]), edge("b", &["c"]), edge("c", &["a", "d"]), edge("d", &[])]);
    let found = |module| cycle(&graph, module, &mut Vec::new(), &mut BTreeSet::new());
    assert!(found("a") && found("b") && found("c") && !found("d"));
}

/// `unsafe` of a library lives in one module.
#[test]
fn unsafe_code_is_in_one_place() {
    for (folder, ..) in PACKAGES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src");
        for path in files(&source) {
            let text = fs::read_to_string(&path).unwrap();
            let is_unsafe = text.lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
            });
            let is_scan = path.ends_with("sse-core/src/scan.rs") || path.ends_with("sse-core/src/scan/digits.rs");
            assert_eq!(is_unsafe, is_scan, "unsafe code in {}", path.display());
        }
    }
}

/// Hidden items are not covered by semver, so a package that uses them names the exact version.
#[test]
fn package_that_uses_hidden_items_pins_the_version() {
    let hidden = [("ssekit-core", "__from_whole_events"), ("ssekit-server", "ssekit_server::__")];
    for (folder, package, _) in PACKAGES {
        let source = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src"));
        for (other, marker) in hidden.iter().filter(|(other, _)| *other != package) {
            if source.iter().any(|path| fs::read_to_string(path).unwrap().contains(marker)) {
                let version = &manifest(folder)["dependencies"][*other]["version"];
                let is_pinned = version.as_str().unwrap().starts_with('=');
                assert!(is_pinned, "{package} needs the exact version of {other}, not {version:?}");
            }
        }
    }
}

/// Names that reviewers could not place.
const OLD_TYPES: [&str; 19] = [
    "ConnectError",
    "DataError",
    "End",
    "EventInfo",
    "Finish",
    "Frame",
    "IntoFrame",
    "Item",
    "JsonError",
    "Line",
    "Memory",
    "OldEvent",
    "OwnedEvent",
    "Publication",
    "Seat",
    "Standing",
    "Streams",
    "Tail",
    "Then",
];
const OLD_VARIANT: &str = "Kicked,";
const OLD_FUNCTIONS: [&str; 9] =
    ["as_json", "behind", "by", "fed", "go_on", "kick", "leave_out", "start_over", "take_news"];
const OLD_MODULES: [&str; 9] =
    ["admission", "block", "control", "join", "keeper", "lanes", "links", "preface", "unchecked"];

/// The types in a record of the public API, and its functions.
fn old_names(record: &str) -> Vec<&str> {
    let is_old = |line: &&str| {
        // A line without indentation is `path::Name kind`.
        let item = line.starts_with("ssekit").then(|| line.split([' ', ',']).next()).flatten();
        let name = item.and_then(|path| path.rsplit("::").next());
        let function = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
        OLD_TYPES.contains(&name.unwrap_or_default())
            || OLD_FUNCTIONS.contains(&function.unwrap_or_default())
            || line.trim() == OLD_VARIANT
    };
    record.lines().filter(is_old).map(str::trim).collect()
}

#[test]
fn old_names_are_neither_public_nor_modules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files(&root.join("testkit/public-api/record")) {
        let record = fs::read_to_string(&file).unwrap();
        assert_eq!(old_names(&record), [""; 0], "in {}", file.display());
    }
    for (folder, ..) in PACKAGES {
        for file in files(&root.join(folder).join("src")) {
            let parts =
                file.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs"));
            let old: Vec<_> = parts.filter(|part| OLD_MODULES.contains(part)).collect();
            assert_eq!(old, [""; 0], "in {}", file.display());
        }
    }
}

#[test]
fn old_names_in_a_record_are_found() {
    let record =
        "ssekit::Frame struct\n  pub struct Frame(/* private fields */);\n    pub fn kick(&self)\n      Kicked,\n";
    assert_eq!(old_names(record), ["ssekit::Frame struct", "pub fn kick(&self)", "Kicked,"]);
    assert_eq!(old_names("ssekit::EncodedEvent struct\n    type Item = u8\n    pub fn byte(&self)\n"), [""; 0]);
}
