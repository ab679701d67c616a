//! A gap event that a client has received.

use serde_json::Value;
use ssekit_server::hub::Position;

use super::log::Log;

/// A gap event, decoded.
pub(super) struct GapEvent<'a> {
    pub(super) block: &'a str,
    pub(super) reason: String,
    pub(super) from: Option<u64>,
    pub(super) to: u64,
    pub(super) missed: Option<u64>,
    /// The offset of the ID.
    pub(super) id: u64,
}

impl<'a> GapEvent<'a> {
    pub(super) fn new(log: &Log, block: &'a str, id: Option<u64>) -> Self {
        let json: Value = serde_json::from_str(data(block)).expect("it is JSON");
        let offset = |name: &str| {
            let position = json[name].as_str().map(|text| text.parse::<Position>().expect("it is a position"))?;
            assert_eq!(position.epoch, log.epoch);
            Some(position.offset)
        };
        let (from, to, id) = (offset("from"), offset("to").expect("it has an end"), id.expect("it has an ID"));
        let reason = json["reason"].as_str().expect("it has a reason").to_owned();
        Self { block, reason, from, to, missed: json["missed"].as_u64(), id }
    }

    pub(super) fn data(&self) -> &'a str {
        data(self.block)
    }

    /// Checks the number of missed events: at least the `lost` ones, at most all offsets of the gap.
    pub(super) fn check_missed(&self, lost: u64, from: u64) {
        let missed = self.missed.expect("it is known");
        assert!((lost..=self.to - from + 1).contains(&missed), "{:?}: {lost} lost", self.block);
    }
}

fn data(block: &str) -> &str {
    block.lines().find_map(|line| line.strip_prefix("data: ")).expect("it has data")
}
