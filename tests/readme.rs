//! Compiles each program of the README as a user would: in a package of its own, made by the `cargo add` lines above it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
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

#[test]
fn readme_programs_compile_with_exactly_their_features() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let programs = programs(include_str!("../README.md"));
    assert!(programs.len() >= 10, "{} programs found", programs.len());
    let workspace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let _ = fs::remove_dir_all(&workspace);
    fs::create_dir_all(&workspace).unwrap();
    // Kept from run to run.
    let target = workspace.with_file_name("readme-target");
    fs::write(workspace.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"program*\"]\n").unwrap();
    // The versions that the rest of the tests use.
    fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
    for program in &programs {
        let package = workspace.join(&program.name);
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("Cargo.toml"), &program.manifest).unwrap();
        fs::write(package.join("src/main.rs"), &program.source).unwrap();
    }
    for program in &programs {
        // One at a time: with several packages, cargo would give each the features of all.
        let check = Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--package", &program.name])
            .current_dir(&workspace)
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", "-D warnings")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}\n{}\n{stderr}", program.manifest, program.source);
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
