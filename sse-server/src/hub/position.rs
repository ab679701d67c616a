use std::fmt;
use std::str::FromStr;

/// The place of an event in a hub's log. On the wire it is the event's ID, `{epoch}-{offset}`.
///
/// ```
/// use ssekit_server::hub::Position;
///
/// let position: Position = "1763749139123-42".parse()?;
/// assert_eq!((position.epoch, position.offset), (1763749139123, 42));
/// assert_eq!(position.to_string(), "1763749139123-42");
/// # Ok::<(), ssekit_server::hub::PositionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "it is the whole of an ID")]
pub struct Position {
    /// The epoch of the log: the time when it began, in microseconds since 1970, plus up to a second at random, so that no
    /// two logs share an epoch. A log can continue in a later epoch.
    pub epoch: u64,
    /// The number of the event within its epoch. Events of all topics are counted together, from 1, without holes. 0 is before
    /// the first event.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Serialised as text: the event's ID.
#[cfg(feature = "serde")]
impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Parses the form that [`Display`](fmt::Display) writes, and no other.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once('-').ok_or(PositionError)?;
        Ok(Self { epoch: number(epoch)?, offset: number(offset)? })
    }
}

/// Parses a number without a sign and without leading zeros. The standard library would accept both.
fn number(text: &str) -> Result<u64, PositionError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(PositionError)
}

/// The error for a text that is not a [`Position`], so not an ID of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PositionError;

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("position is not of the form epoch-offset, each a number")
    }
}

impl std::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_read() {
        for (text, expected) in [
            ("0-0", Some((0, 0))),
            ("1-10", Some((1, 10))),
            ("18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX))),
            ("18446744073709551616-1", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("1-", None),
            ("-1", None),
            ("1-2-3", None),
            ("+1-2", None),
            ("01-2", None),
            ("1-02", None),
            ("1 -2", None),
            ("1-2\n", None),
            ("\u{661}-2", None),
        ] {
            let expected = expected.map(|(epoch, offset)| Position { epoch, offset }).ok_or(PositionError);
            assert_eq!(text.parse(), expected, "{text:?}");
            if let Ok(position) = expected {
                assert_eq!(position.to_string(), text);
            }
        }
    }
}
