//! Whom to ask: where redirects lead.

use alloc::string::{String, ToString};
use core::str;

use url::Url;

use super::failure::RedirectError;

/// A request's target, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) method: String,
    pub(super) has_body: bool,
}

/// The targets of an event source.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    given: Target,
    /// Where permanent redirects have led to.
    remembered: Option<Target>,
    current: Target,
    hops: u32,
    /// So far in this attempt.
    is_permanent: bool,
}

impl Targets {
    pub(super) fn new(url: Url) -> Self {
        let given = Target { url, method: "GET".to_string(), has_body: false };
        Self { current: given.clone(), given, remembered: None, hops: 0, is_permanent: true }
    }

    pub(super) fn set_method(&mut self, method: &str, has_body: bool) {
        (self.given.method, self.given.has_body) = (method.to_string(), has_body);
    }

    /// A new attempt.
    pub(super) fn start(&mut self) {
        self.current = self.remembered.as_ref().unwrap_or(&self.given).clone();
        (self.hops, self.is_permanent) = (0, true);
    }

    /// What was permanent is asked for again, since it leads nowhere.
    pub(super) fn forget(&mut self) {
        self.remembered = None;
    }

    /// The server redirects, by a status that is one of those.
    ///
    /// Source: the Fetch standard, section 4.4, "HTTP-redirect fetch".
    pub(super) fn follow(&mut self, status: u16, location: Option<&[u8]>, limit: u32) -> Result<(), RedirectError> {
        let location = location.ok_or(RedirectError::NoLocation)?;
        let invalid = || RedirectError::InvalidLocation { location: String::from_utf8_lossy(location).into_owned() };
        let url = str::from_utf8(location).ok().and_then(|location| self.current.url.join(location).ok());
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
        if self.current.url.scheme() == "https" && url.scheme() == "http" {
            return Err(RedirectError::Insecure { location: url.into() });
        }
        if self.hops >= limit {
            return Err(RedirectError::TooMany { limit });
        }
        self.hops += 1;
        self.current.url = url;
        // "If internalResponse's status is 301 or 302 and request's method is `POST`", or "is 303 and request's method is
        // not `GET` or `HEAD`", then "set request's method to `GET` and request's body to null".
        if match status {
            301 | 302 => self.current.method == "POST",
            303 => !matches!(&*self.current.method, "GET" | "HEAD"),
            _ => false,
        } {
            (self.current.method, self.current.has_body) = ("GET".to_string(), false);
        }
        self.is_permanent &= matches!(status, 301 | 308);
        if self.is_permanent {
            self.remembered = Some(self.current.clone());
        }
        Ok(())
    }

    pub(super) fn current(&self) -> &Target {
        &self.current
    }

    /// It is not the origin that was asked for.
    pub(super) fn is_cross_origin(&self) -> bool {
        self.current.url.origin() != self.given.url.origin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(url: &str) -> Targets {
        Targets::new(Url::parse(url).unwrap())
    }

    /// The URL and the method that are asked then.
    fn follow(targets: &mut Targets, status: u16, location: &str) -> (String, String, bool) {
        targets.follow(status, Some(location.as_bytes()), 20).unwrap();
        let Target { url, method, has_body } = targets.current();
        (url.to_string(), method.clone(), *has_body)
    }

    #[test]
    fn methods_change_as_the_fetch_standard_says() {
        for (status, method, then) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
            (301, "PUT", "PUT"),
            (302, "REPORT", "REPORT"),
            (303, "REPORT", "GET"),
            (303, "HEAD", "HEAD"),
            (303, "GET", "GET"),
        ] {
            let mut targets = targets("http://a/x");
            targets.set_method(method, true);
            targets.start();
            let expected = ("http://a/y".to_string(), then.to_string(), then == method);
            assert_eq!(follow(&mut targets, status, "y"), expected, "{status} {method}");
        }
    }

    #[test]
    fn only_what_is_permanent_from_the_start_is_remembered() {
        let mut targets = targets("http://a/1");
        follow(&mut targets, 301, "/2");
        follow(&mut targets, 308, "//b/3");
        assert!(targets.is_cross_origin());
        follow(&mut targets, 302, "/4");
        follow(&mut targets, 301, "/5");
        targets.start();
        assert_eq!(targets.current().url.as_str(), "http://b/3");
        assert!(targets.is_cross_origin());
        follow(&mut targets, 302, "http://a/6");
        assert!(!targets.is_cross_origin());
        targets.forget();
        targets.start();
        assert_eq!(targets.current().url.as_str(), "http://a/1");
    }

    #[test]
    fn what_is_not_followed_is_said() {
        let mut targets = targets("https://a/1");
        let mut refused = |location: Option<&[u8]>, limit| targets.follow(302, location, limit).unwrap_err();
        let invalid = |location: &str| RedirectError::InvalidLocation { location: location.to_string() };
        assert_eq!(refused(None, 20), RedirectError::NoLocation);
        assert_eq!(refused(Some(b"http://"), 20), invalid("http://"));
        assert_eq!(refused(Some(b"javascript:alert(1)"), 20), invalid("javascript:alert(1)"));
        assert_eq!(refused(Some(b"\xff"), 20), invalid("\u{fffd}"));
        assert_eq!(refused(Some(b"http://a/1"), 20), RedirectError::Insecure { location: "http://a/1".to_string() });
        assert_eq!(refused(Some(b"/"), 0), RedirectError::TooMany { limit: 0 });
        for _ in 0..20 {
            follow(&mut targets, 302, "/");
        }
        assert_eq!(targets.follow(302, Some(b"/"), 20), Err(RedirectError::TooMany { limit: 20 }));
    }
}
