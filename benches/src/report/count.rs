//! Figures that are counted, not timed.

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::Command;

use super::{Figures, Report, decode_id, encode_id, tables};
use crate::decoders::DECODERS;
use crate::encoders::{self, ENCODERS, JSON_ENCODERS};
use crate::workloads::{self, CHUNK_16K, DECODED_LEN, ENCODED_LEN, Workload};

/// What callgrind is asked for.
pub const DECODED: [&str; 4] = ["openai", "anthropic", "ticks", "multi-line"];
pub const ENCODED: [&str; 2] = ["event-id-250", "eight-lines"];

/// How often each contestant allocates for each event, in a pass after one that is not counted, by what counts the
/// allocations of the work that it is given.
pub fn allocations(count: fn(&mut dyn FnMut()) -> u64) -> Figures {
    let mut figures = Figures::new();
    let (chunk, chunk_size) = CHUNK_16K;
    for workload in workloads::decoding(DECODED_LEN) {
        let chunks = workload.chunks(chunk_size);
        for decoder in DECODERS.iter().filter(|decoder| !(decoder.is_hopeless)(workload.name, chunk_size)) {
            let mut work = || {
                black_box((decoder.count)(black_box(&chunks)));
            };
            work();
            let id = decode_id(workload.name, chunk, decoder.name);
            figures.insert(id, count(&mut work) as f64 / workload.messages.len() as f64);
        }
    }
    let mut encode = |workload: &Workload, name: &str, contestants: &[encoders::Contestant]| {
        for encoder in contestants {
            let mut encode = (encoder.new_encoder)();
            let mut work = || {
                encode(workload, &mut |event| {
                    black_box(event);
                });
            };
            work();
            figures.insert(encode_id(name, encoder.name), count(&mut work) as f64 / workload.messages.len() as f64);
        }
    };
    for workload in workloads::encoding(ENCODED_LEN) {
        encode(&workload, workload.name, &ENCODERS);
        if workload.has_json() {
            encode(&workload, &workload.json_name(), &JSON_ENCODERS);
        }
    }
    figures
}

/// How many instructions ours and the best rivals take for each event, by callgrind on the program `once`.
pub fn instructions(once: &Path, report: &Report) -> io::Result<Figures> {
    let mut figures = Figures::new();
    let (chunk, chunk_size) = CHUNK_16K;
    for workload in workloads::decoding(ONCE_LEN).filter(|workload| DECODED.contains(&workload.name)) {
        for name in tables::decoders_to_count(report, workload.name) {
            let args = ["decode", name, workload.name, &chunk_size.to_string()];
            let figure = difference(once, &args)? / workload.messages.len() as f64;
            figures.insert(decode_id(workload.name, chunk, name), figure);
        }
    }
    for workload in workloads::encoding(ONCE_LEN).filter(|workload| ENCODED.contains(&workload.name)) {
        for name in tables::encoders_to_count(report, workload.name) {
            let figure = difference(once, &["encode", name, workload.name])? / workload.messages.len() as f64;
            figures.insert(encode_id(workload.name, name), figure);
        }
    }
    Ok(figures)
}

/// How long a stream is under callgrind, which is slow.
pub const ONCE_LEN: usize = 1 << 18;

/// What one round takes: three less one, halved, so that what comes before the rounds does not count.
fn difference(once: &Path, args: &[&str]) -> io::Result<f64> {
    let [one, three] = ["1", "3"].map(|rounds| collected(once, args, rounds));
    Ok((three? - one?) / 2.0)
}

fn collected(once: &Path, args: &[&str], rounds: &str) -> io::Result<f64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(once).args(args).arg(rounds).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let wrong = || io::Error::other(format!("callgrind on {args:?}: {said}"));
    if output.status.success() { parse_collected(&said).ok_or_else(wrong) } else { Err(wrong()) }
}

/// How many instructions callgrind has counted.
pub(crate) fn parse_collected(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_is_understood() {
        let said = "==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(parse_collected(said), Some(123_456.0));
        assert_eq!(parse_collected("==7== Events    : Ir"), None);
    }
}
