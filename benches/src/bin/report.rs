//! Runs the benches, and makes of them the tables in both READMEs and the chart: `report [RUNS]`, three if not said.
//! With 0 it takes the runs of the last time.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use ssekit_benches::report::{self, Report, between_markers, chart, count, tables};
use ssekit_benches::workloads::{self, DECODED_LEN, ENCODED_LEN};

#[macro_use]
#[path = "../../../testkit/src/alloc_count.rs"]
mod alloc_count;

count_allocations!();

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let runs = env::args().nth(1).map_or(Ok(3), |runs| runs.parse())?;
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Beside the other programs' folder, wherever the target directory is.
    let program = env::current_exe()?;
    let target = program.parent().and_then(Path::parent).ok_or("this program is in no target directory")?;
    let kept = target.join("report");

    if runs > 0 && kept.exists() {
        fs::remove_dir_all(&kept)?;
    }
    for n in 1..=runs {
        eprintln!("run {n} of {runs}");
        let mut bench = cargo(benches, &["bench", "--bench", "decode", "--bench", "encode"]);
        bench.args(["--", "--quiet"]);
        finish(bench.env("CRITERION_HOME", kept.join(n.to_string())))?;
    }

    let mut report = Report {
        decoded: workloads::decoding(DECODED_LEN).map(Into::into).collect(),
        encoded: workloads::encoding(ENCODED_LEN).map(Into::into).collect(),
        ..Report::default()
    };
    for run in fs::read_dir(&kept)? {
        report.runs.push(report::read_run(&run?.path())?);
    }
    eprintln!("allocations");
    report.allocations = count::allocations(|work| allocations(work).1);
    if Command::new("valgrind").arg("--version").output().is_ok() {
        eprintln!("instructions");
        finish(&mut cargo(benches, &["build", "--release", "--bin", "once"]))?;
        report.instructions = count::instructions(&target.join("release").join("once"), &report)?;
    } else {
        eprintln!("no instructions: valgrind is not installed");
    }

    rewrite(&benches.join("README.md"), "tables", &tables::all(&report))?;
    rewrite(&benches.join("../README.md"), "speed", &tables::speed(&report))?;
    fs::write(benches.join("decode.svg"), chart::svg(&report))?;
    Ok(())
}

fn cargo(benches: &Path, args: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(benches).args(args).arg("--locked");
    cargo
}

fn finish(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}

fn rewrite(path: &Path, marker: &str, content: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let text = between_markers(&text, marker, content).ok_or_else(|| format!("{path:?} has no markers {marker}"))?;
    Ok(fs::write(path, text)?)
}
