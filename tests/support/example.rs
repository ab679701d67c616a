//! The examples' programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Where cargo puts it: beside the directory of this test.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(name);
    // `cargo test` has just built it, but `cargo test --test browser` has not.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["examples", "src", "sse-core", "sse-server", "sse-axum", "sse-actix", "sse-redis", "sse-client"];
    if modified(&program) <= sources.iter().map(|folder| newest(&manifest.join(folder))).max().flatten() {
        let profile_name = match profile.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            name => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", name, "--profile", profile_name, "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(manifest)
            .status();
        assert!(status.unwrap().success(), "cargo cannot build the example {name}");
    }
    program
}

/// When anything in a directory was last changed.
fn newest(directory: &Path) -> Option<SystemTime> {
    let paths = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { newest(&path) } else { modified(&path) }).max().flatten()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}
