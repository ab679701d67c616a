//! What is published: events of the same length, each with its number and its time.

use std::fmt::Write;

/// How many bytes of data an event has.
pub const DATA_LEN: usize = 80;
/// How many bytes it has on the wire, by whomever it is written, but for an ID.
pub const EVENT_LEN: usize = FIELD_LEN + DATA_LEN + "\n\n".len();
/// How many of them, the first ones, say which event it is.
pub const HEAD_LEN: usize = START.len() + NUMBER_LEN + TIME.len() + TIME_LEN;

/// What it begins with, or what follows on its ID.
pub const START: &str = "data: {\"n\":\"";

const FIELD_LEN: usize = "data: ".len();
const TIME: &str = "\",\"at\":\"";
const NUMBER_LEN: usize = 10;
const TIME_LEN: usize = 18;

/// Writes an event's data in the place of what `text` has held.
pub fn write(text: &mut String, number: u64, time: u64) {
    text.clear();
    let start = &START[FIELD_LEN..];
    // Writing to a `String` has no way to fail.
    let _ =
        write!(text, "{start}{number:0NUMBER_LEN$}{TIME}{time:0TIME_LEN$}\",\"text\":\"the quick brown fox jumps.\"}}");
    debug_assert_eq!(text.len(), DATA_LEN);
}

/// The number and the time of the event on the wire that begins here, if it is one.
pub fn parse(event: &[u8]) -> Option<(u64, u64)> {
    let rest = event.strip_prefix(START.as_bytes())?;
    let (number, rest) = rest.split_at_checked(NUMBER_LEN)?;
    let time = rest.strip_prefix(TIME.as_bytes())?.get(..TIME_LEN)?;
    Some((digits(number)?, digits(time)?))
}

fn digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed() {
        let mut text = String::from("old");
        write(&mut text, 1_234_567_890, 123_456_789_012_345_678);
        assert_eq!(text.len(), DATA_LEN);
        let event = format!("data: {text}\n\n");
        assert_eq!(event.len(), EVENT_LEN);
        assert_eq!(parse(event.as_bytes()), Some((1_234_567_890, 123_456_789_012_345_678)));
        assert_eq!(parse(&event.as_bytes()[..HEAD_LEN]), Some((1_234_567_890, 123_456_789_012_345_678)));
        assert_eq!(parse(&event.as_bytes()[..HEAD_LEN - 1]), None);
        assert_eq!(parse(&event.as_bytes()[1..]), None);
        assert_eq!(parse(event.replace("12", "x2").as_bytes()), None);
    }
}
