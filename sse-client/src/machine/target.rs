//! Whom to ask: where redirects lead.

use alloc::string::{String, ToString};
use core::str;

use url::Url;

use super::failure::{RedirectError, excerpt};

/// A request's target, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) method: String,
    pub(super) has_body: bool,
    /// A redirect has led off the origin that was given, on the way here.
    pub(super) is_cross_origin: bool,
}

/// The targets of an event source.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    given: Target,
    /// Where permanent redirects have led to, and what was asked there.
    remembered: Option<Target>,
    current: Target,
    hops: u32,
    /// So far in this attempt.
    is_permanent: bool,
}

impl Targets {
    pub(super) fn new(url: Url) -> Self {
        let given = Target {
            url: without_credentials(url),
            method: "GET".to_string(),
            has_body: false,
            is_cross_origin: false,
        };
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
        let url = str::from_utf8(location).ok().and_then(|location| self.current.url.join(location).ok());
        let Some(url) = url else {
            // Whatever may be a secret in it, were it a URL.
            let shown = location.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
            let shown = shown.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
            return Err(RedirectError::InvalidLocation { location: excerpt(shown) });
        };
        match (self.current.url.scheme(), url.scheme()) {
            ("https", "http") => return Err(RedirectError::Insecure { location: without_secrets(url) }),
            (_, "http" | "https") => {}
            _ => return Err(RedirectError::InvalidLocation { location: without_secrets(url) }),
        }
        if self.hops >= limit {
            return Err(RedirectError::TooMany { limit });
        }
        self.hops += 1;
        // For good: where the other origin leads to, even if it is back, is chosen by that.
        self.current.is_cross_origin |= url.origin() != self.given.url.origin();
        self.current.url = without_credentials(url);
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
}

/// What a server has put there is not to be sent, and what the program has is a header field.
fn without_credentials(mut url: Url) -> Url {
    // Fails for URLs that cannot have any.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// As it may be shown.
fn without_secrets(url: Url) -> String {
    let mut url = without_credentials(url);
    url.set_query(None);
    url.set_fragment(None);
    excerpt(url.as_str().as_bytes())
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
        let Target { url, method, has_body, .. } = targets.current();
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
        assert!(targets.current().is_cross_origin);
        follow(&mut targets, 302, "/4");
        follow(&mut targets, 301, "/5");
        targets.start();
        assert_eq!(targets.current().url.as_str(), "http://b/3");
        assert!(targets.current().is_cross_origin);
        follow(&mut targets, 302, "http://a/6");
        assert!(targets.current().is_cross_origin, "another origin has led there");
        targets.forget();
        targets.start();
        assert_eq!(targets.current().url.as_str(), "http://a/1");
        assert!(!targets.current().is_cross_origin);
    }

    #[test]
    fn another_scheme_or_port_is_another_origin() {
        for (location, is_cross_origin) in [
            ("http://a:80/y", false),
            ("//A/y", false),
            ("https://a/y", true),
            ("http://a:81/y", true),
            ("http://b.a/y", true),
            ("http://user:password@a/y", false),
        ] {
            let mut targets = targets("http://a/x");
            follow(&mut targets, 307, location);
            let Target { url, is_cross_origin: it_is, .. } = targets.current();
            assert_eq!((*it_is, url.username(), url.password()), (is_cross_origin, "", None), "{location}");
        }
    }

    #[test]
    fn what_is_remembered_is_asked_again_what_it_was_asked() {
        for (status, method, has_body) in [(301, "GET", false), (308, "POST", true)] {
            let mut targets = targets("http://a/x");
            targets.set_method("POST", true);
            targets.start();
            // A body that a redirect has taken away goes nowhere at the next attempt either.
            let expected = ("http://b/y".to_string(), method.to_string(), has_body);
            assert_eq!(follow(&mut targets, status, "http://b/y"), expected);
            targets.start();
            let Target { url, method, has_body, is_cross_origin } = targets.current().clone();
            assert!(is_cross_origin);
            assert_eq!((url.to_string(), method, has_body), expected);
            targets.forget();
            targets.start();
            assert_eq!((&*targets.current().method, targets.current().has_body), ("POST", true));
        }
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
        // No secrets, and no more than a little.
        assert_eq!(refused(Some(b"ftp://us:secret@a/?secret#secret"), 20), invalid("ftp://a/"));
        assert_eq!(refused(Some(b"mailto:a@b?secret"), 20), invalid("mailto:a@b"));
        assert_eq!(refused(Some(b"http://us:secret@:x/?secret"), 20), invalid(":x/"));
        let long = ["data:", &"x".repeat(10_000)].concat();
        assert_eq!(refused(Some(long.as_bytes()), 20), invalid(&long[..256]));
        for location in [&b"http://a/1"[..], b"http://us:secret@a/1?secret", b"http:us:secret@a/1#secret"] {
            assert_eq!(refused(Some(location), 20), RedirectError::Insecure { location: "http://a/1".to_string() });
        }
        assert_eq!(refused(Some(b"/"), 0), RedirectError::TooMany { limit: 0 });
        for _ in 0..20 {
            follow(&mut targets, 302, "/");
        }
        assert_eq!(targets.follow(302, Some(b"/"), 20), Err(RedirectError::TooMany { limit: 20 }));
    }
}
