//! Whole numbers as text, without an allocator.

use core::str::from_utf8_unchecked;

/// The decimal digits of a number, with a minus sign if it is negative.
///
/// ```text
/// slots:  [..] [..] [-1] [23] [45]     -12345
///           unused  ^ start      ^ end
/// ```
///
/// Invariants: `start <= 20`, and every byte from `start` on is ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Digits {
    /// Two digits in each slot, right-aligned.
    slots: [[u8; 2]; SLOTS],
    start: u8,
}

/// 20 bytes hold the longest numbers: `u64::MAX` and `i64::MIN`.
const SLOTS: usize = 10;

/// The texts `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

impl Digits {
    #[inline]
    pub(crate) fn unsigned(number: u64) -> Self {
        let mut slots = [*b"00"; SLOTS];
        let (mut rest, mut start) = (number, 2 * SLOTS as u8);
        for slot in slots.iter_mut().rev() {
            start -= 2;
            if let Some(pair) = PAIRS.get((rest % 100) as usize) {
                *slot = *pair;
            }
            if rest < 100 {
                break;
            }
            rest /= 100;
        }
        Self { slots, start: start + u8::from(rest < 10) }
    }

    #[inline]
    pub(crate) fn signed(number: i64) -> Self {
        let mut digits = Self::unsigned(number.unsigned_abs());
        if number < 0 {
            // 2^63 has 19 digits, so there is room for the sign.
            digits.start = digits.start.saturating_sub(1);
            if let Some(sign) = digits.slots.as_flattened_mut().get_mut(usize::from(digits.start)) {
                *sign = b'-';
            }
        }
        digits
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        let text = self.slots.as_flattened().get(usize::from(self.start)..).unwrap_or_default();
        debug_assert!(text.is_ascii());
        // SAFETY: `slots` starts as ASCII zeros. `unsigned` and `signed` write only digits and a minus sign.
        unsafe { from_utf8_unchecked(text) }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn digits_of_any_number_equal_those_of_std() {
        let powers = (0..64).flat_map(|n| [(1_u64 << n) - 1, 1 << n, (1 << n) + 1]);
        let tens = (0..20).map(|n| 10_u64.pow(n)).flat_map(|n| [n - 1, n, n + 1]);
        for number in (0..2_000).chain(powers).chain(tens).chain([u64::MAX]) {
            assert_eq!(Digits::unsigned(number).as_str(), number.to_string());
            for signed in [number as i64, (number as i64).wrapping_neg()] {
                assert_eq!(Digits::signed(signed).as_str(), signed.to_string());
            }
        }
        assert_eq!(Digits::signed(i64::MIN).as_str(), i64::MIN.to_string());
    }
}
