//! A line costs the same per byte for any length and any chunks. The tests count instructions and copied bytes.

use std::process::Command;

use ssekit_core::{Buffer, BufferFull, BufferedDecoder, Lexer, Limits, Token};

/// Returns the number of instructions to decode a line of `mebibytes` MiB, by valgrind.
fn instructions(mebibytes: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_long_line"))
        .arg(mebibytes.to_string())
        .output()
        .expect("valgrind is needed: run scripts/test, or install it");
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{report}");
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {report}"))
}

#[test]
fn a_line_of_16_mib_takes_no_more_instructions_per_byte_than_one_of_1_mib() {
    let (one, sixteen) = (instructions(1), instructions(16));
    println!("{one} instructions for 1 MiB, {sixteen} for 16 MiB: {:.3} times as many", sixteen as f64 / one as f64);
    assert!(sixteen <= 16 * one + 16 * one / 100, "{sixteen} instructions for 16 MiB, {one} for 1 MiB");
}

/// Counts the bytes that are copied into the buffer.
#[derive(Default)]
struct Counting {
    text: String,
    copied: usize,
}

impl Buffer for Counting {
    fn max_len(&self) -> usize {
        usize::MAX
    }
    fn as_str(&self) -> &str {
        &self.text
    }
    fn len(&self) -> usize {
        self.text.len()
    }
    fn push_str(&mut self, text: &str) -> Result<(), BufferFull> {
        self.copied += text.len();
        self.text.push_str(text);
        Ok(())
    }
    fn clear(&mut self) {
        self.text.clear();
    }
}

#[test]
fn each_byte_of_a_line_in_pieces_is_handed_out_once_and_copied_once() {
    for mebibytes in [1, 16] {
        let mut stream = b"data: ".to_vec();
        stream.resize((mebibytes << 20) + 6, b'x');
        stream.extend_from_slice(b"\n\n");

        let mut decoder = BufferedDecoder::<Counting, Counting>::with_limits(Limits::NONE);
        let mut events = 0;
        for mut chunk in stream.chunks(64) {
            while let Ok(Some(event)) = decoder.next_event(&mut chunk) {
                assert_eq!(event.data.len(), mebibytes << 20);
                events += 1;
            }
        }
        assert_eq!(events, 1);
        let ssekit_core::DecoderBuffers { data, .. } = decoder.into_buffers();
        assert_eq!(data.copied, mebibytes << 20);

        let mut lexer = Lexer::new();
        let mut seen = 0;
        for mut chunk in stream.chunks(64) {
            while let Some(token) = lexer.next_token(&mut chunk) {
                if let Token::Value(fragment) = token {
                    seen += fragment.bytes.len();
                }
            }
        }
        assert_eq!(seen, mebibytes << 20);
    }
}
