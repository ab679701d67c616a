//! The header field `Retry-After`.

use core::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Returns the time that a response asks to wait by `Retry-After`; `None` without a valid field.
///
/// A date becomes a time by the `Date` of the same response, so the clocks need not agree. Without that, the local clock
/// counts. Use this for a [`machine::ResponseHead`](crate::machine::ResponseHead).
///
/// Source: RFC 9110, section 10.2.3.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue};
/// use ssekit_client::parse_retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", HeaderValue::from_static("120"));
/// assert_eq!(parse_retry_after(&headers), Some(Duration::from_secs(120)));
///
/// headers.insert("date", HeaderValue::from_static("Fri, 31 Dec 1999 23:59:29 GMT"));
/// headers.insert("retry-after", HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"));
/// assert_eq!(parse_retry_after(&headers), Some(Duration::from_secs(30)));
/// ```
pub fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit means the longest time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = |value: &str| httpdate::parse_http_date(value).ok();
    let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or_else(SystemTime::now);
    // A date in the past means no time.
    Some(date(value)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn unusual_values_mean_no_time_or_the_longest() {
        let parse = |value: &'static str| {
            parse_retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
        };
        for (value, expected) in [
            ("0", Some(Duration::ZERO)),
            (" 7 ", Some(Duration::from_secs(7))),
            ("99999999999999999999999", Some(Duration::from_secs(u64::MAX))),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(Duration::ZERO)),
        ] {
            assert_eq!(parse(value), expected, "{value:?}");
        }
        assert_eq!(parse_retry_after(&HeaderMap::new()), None);
        // Without a `Date` the local clock counts.
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(&later).unwrap())]);
        assert!((900..=1000).contains(&parse_retry_after(&headers).unwrap().as_secs()));
    }
}
