//! The guides in `docs`: programs before and after a migration, behaviour that they state, and tests that they name.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::{FutureExt, StreamExt, stream};
use ssekit::{Decoder, EventStream, event_id};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below a folder with this extension. Skips build folders.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

/// Returns the only code block of this language.
fn code_block<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n```{language}\n")).unwrap();
    let (block, rest) = rest.split_once("```\n").unwrap();
    assert!(!rest.contains(&format!("\n```{language}\n")), "a second block of {language}");
    block
}

#[test]
fn diff_of_each_migration_guide_leads_to_its_program() {
    let guides = files(&package().join("docs/migrating"), "md");
    assert_eq!(guides.len(), 5);
    for guide in guides {
        let page = fs::read_to_string(&guide).unwrap();
        let mut program = String::new();
        for line in code_block(&page, "diff").lines() {
            match line.split_at_checked(1) {
                Some((" " | "+", line)) => program.extend([line, "\n"]),
                Some(("-", _)) => {}
                _ => panic!("{}: line without a mark: {line:?}", guide.display()),
            }
        }
        assert_eq!(program, code_block(&page, "rust"), "{}", guide.display());
    }
}

#[test]
fn tests_named_in_the_comparison_exist() {
    let page = fs::read_to_string(package().join("docs/comparison.md")).unwrap();
    let sources: Vec<String> =
        files(package(), "rs").into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut count = 0;
    for note in page.lines().filter(|line| line.starts_with("[^")) {
        // The names stand between `ssekit:` and the next full stop.
        let Some((_, names)) = note.split_once("ssekit: ") else { continue };
        let names = names.split_once(". ").map_or(names, |(names, _)| names);
        for name in names.split('`').skip(1).step_by(2) {
            let function = format!("fn {name}(");
            assert!(sources.iter().any(|source| source.contains(&function)), "no test {name:?}, named in {note}");
            count += 1;
        }
    }
    assert!(count >= 20, "{count} tests are named");
}

/// What the guide for eventsource-stream says about blocks without data, and about CR.
#[test]
fn blocks_without_data_count_and_cr_ends_a_line_at_once() {
    let mut decoder = Decoder::new();
    decoder.set_last_event_id(event_id!("7")).unwrap();
    let second_chunk_sent = Cell::new(false);
    let chunks = stream::iter(["data: a\r\r", "\nretry: 5\n\nid: 8\n\n"]).enumerate().map(|(n, chunk)| {
        second_chunk_sent.set(n == 1);
        Ok::<_, std::io::Error>(chunk)
    });
    let mut events = EventStream::with_decoder(chunks.chain(stream::pending()), decoder);

    let event = events.next().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!((&*event.data, &*event.last_event_id), ("a", "7"));
    assert!(!second_chunk_sent.get());
    assert!(events.next().now_or_never().is_none());
    assert_eq!(events.last_event_id(), "8");
    assert_eq!(events.reconnection_time().unwrap().as_millis(), 5);
}
