use core::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// How long a response asks to wait by `Retry-After`: in seconds, or until a date, which is taken next to the response's own
/// `Date`, so that the clocks need not agree. For a [`machine::Response`](crate::machine::Response).
///
/// What is neither is taken for none. Source: RFC 9110, section 10.2.3.
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, HeaderValue};
/// use ssekit_client::retry_after;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("retry-after", HeaderValue::from_static("120"));
/// assert_eq!(retry_after(&headers), Some(Duration::from_secs(120)));
///
/// headers.insert("date", HeaderValue::from_static("Fri, 31 Dec 1999 23:59:29 GMT"));
/// headers.insert("retry-after", HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"));
/// assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
/// ```
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is still a wait.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = |value: &str| httpdate::parse_http_date(value).ok();
    let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or_else(SystemTime::now);
    // A date that is past is no wait.
    Some(date(value)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn odd_values_are_no_wait_or_the_longest() {
        let of =
            |value: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]));
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
            assert_eq!(of(value), expected, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        // By our own clock.
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(&later).unwrap())]);
        assert!((900..=1000).contains(&retry_after(&headers).unwrap().as_secs()));
    }
}
