//! Compiles each program of the README as a user would: in a package of its own, made by the `cargo add` lines above it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program and the dependencies that its `cargo add` lines name.
struct Program {
    name: String,
    manifest: String,
    source: String,
}

/// Finds each ```` ```sh ```` block with `cargo add` lines and the ```` ```rust ```` block after it.
fn programs(readme: &str) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut adds: Option<String> = None;
    for block in readme.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap_or_default();
        match language {
            "sh" if text.contains("cargo add ssekit") => adds = Some(dependencies(text)),
            "rust" | "rust,no_run" => {
                let name = format!("program{}", programs.len() + 1);
                let adds = adds.take().unwrap_or_else(|| panic!("no `cargo add` lines before this program:\n{text}"));
                let manifest = format!(
                    "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{adds}"
                );
                programs.push(Program { name, manifest, source: text.to_owned() });
            }
            _ => {}
        }
    }
    programs
}

/// Turns `cargo add` lines into lines of a manifest. A feature `a/b` is the feature `b` of the crate `a`.
fn dependencies(lines: &str) -> String {
    let mut manifest = String::new();
    for line in lines.lines().filter_map(|line| line.strip_prefix("cargo add ")) {
        let (line, default) = match line.strip_suffix(" --no-default-features") {
            Some(line) => (line, false),
            None => (line, true),
        };
        let (crates, features) = line.split_once(" --features ").unwrap_or((line, ""));
        let crates: Vec<_> = crates.split(' ').collect();
        for name in &crates {
            let of_crate = features.split(',').filter_map(|feature| match feature.split_once('/') {
                Some((of, feature)) => (of == *name).then_some(feature),
                None => (crates.len() == 1 && !feature.is_empty()).then_some(feature),
            });
            let features: Vec<_> = of_crate.map(|feature| format!("\"{feature}\"")).collect();
            let source = match *name {
                "ssekit" => format!("path = {:?}", env!("CARGO_MANIFEST_DIR")),
                _ => "version = \"*\"".to_owned(),
            };
            let features = features.join(", ");
            let _ =
                writeln!(manifest, "{name} = {{ {source}, default-features = {default}, features = [{features}] }}");
        }
    }
    manifest
}

/// The packages of a test, in a workspace of their own.
struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str, programs: &[Program]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&workspace);
        fs::create_dir_all(&workspace).unwrap();
        fs::write(workspace.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"program*\"]\n").unwrap();
        // The versions that the other tests use.
        fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
        for program in programs {
            let package = workspace.join(&program.name);
            fs::create_dir_all(package.join("src")).unwrap();
            fs::write(package.join("Cargo.toml"), &program.manifest).unwrap();
            fs::write(package.join("src/main.rs"), &program.source).unwrap();
        }
        Self(workspace)
    }

    /// Compiles one package. With several at a time, cargo would give each the features of all.
    fn check(&self, program: &Program) -> Result<(), String> {
        let check = Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--package", &program.name])
            .current_dir(&self.0)
            // Kept from run to run.
            .env("CARGO_TARGET_DIR", self.0.with_file_name("programs-target"))
            .env("RUSTFLAGS", "-D warnings")
            .output()
            .unwrap();
        if check.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&check.stderr).into_owned()) }
    }
}

#[test]
fn readme_programs_compile_with_exactly_their_features() {
    let programs = programs(include_str!("../README.md"));
    assert!(programs.len() >= 10, "{} programs found", programs.len());
    let workspace = Workspace::new("readme", &programs);
    for program in &programs {
        if let Err(stderr) = workspace.check(program) {
            panic!("{}\n{}\n{stderr}", program.manifest, program.source);
        }
    }
}

#[test]
fn wrong_type_is_reported_with_the_fix() {
    let cases = [
        (
            "ssekit::server::EventBody::new(futures_util::stream::iter([Price])).into_http();",
            "`Price` cannot be sent as an event",
            "`ssekit::JsonData(value)` sends a value that implements `serde::Serialize`",
        ),
        (
            "drop(ssekit::hub::Hub::default().publish(\"news\", \"hello\"));",
            "`&str` cannot be sent as an event",
            "`Event::data(text)` sends text",
        ),
        (
            "drop(ssekit::Event::data(\"x\").with_id(\"a-1\"));",
            "`&str` is not an event ID that is always valid",
            "integers are IDs as they are: `.with_id(42)`",
        ),
        (
            "drop(ssekit::Event::data(\"x\").with_event_type(\"news\"));",
            "`&str` is not an event type that is always valid",
            "the compiler checks a literal",
        ),
    ];
    let program = |(n, (line, ..)): (usize, &(&str, &str, &str))| {
        let manifest = dependencies("cargo add ssekit --features hub\ncargo add futures-util\n");
        let name = format!("program{n}");
        Program {
            manifest: format!(
                "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{manifest}"
            ),
            source: format!("pub struct Price;\n\nfn main() {{\n    {line}\n}}\n"),
            name,
        }
    };
    let programs: Vec<_> = cases.iter().enumerate().map(program).collect();
    let workspace = Workspace::new("wrong", &programs);
    for (program, (line, message, note)) in programs.iter().zip(cases) {
        let stderr = workspace.check(program).unwrap_err();
        assert!(stderr.contains(message) && stderr.contains(note), "{line}\n{stderr}");
    }
}

#[test]
fn dependencies_have_the_features_of_their_lines() {
    let lines = "cargo add ssekit --features axum,json\ncargo add axum serde --features serde/derive\n";
    let manifest = dependencies(lines);
    let expected = [
        "default-features = true, features = [\"axum\", \"json\"] }",
        "axum = { version = \"*\", default-features = true, features = [] }",
        "serde = { version = \"*\", default-features = true, features = [\"derive\"] }",
    ];
    assert!(expected.iter().zip(manifest.lines()).all(|(expected, line)| line.ends_with(expected)), "{manifest}");
    let bare = dependencies("cargo add ssekit --no-default-features\n");
    assert!(bare.contains("default-features = false, features = []"), "{bare}");
}
