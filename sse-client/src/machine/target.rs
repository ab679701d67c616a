//! The targets of requests, and the redirects between them.

use alloc::string::{String, ToString};
use core::str;

use url::Url;

use super::failure::{RedirectError, excerpt};

/// The target of a request: the URL and what is requested there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) method: String,
    pub(super) has_body: bool,
    /// Whether a redirect on the way here left the origin of the given URL.
    pub(super) is_cross_origin: bool,
}

/// The targets of an event source.
///
/// An attempt starts at `remembered` if there is one, else at `given`. Its redirects change `current`. While all of them
/// are permanent, they also change `remembered`.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    /// The target that the application asked for.
    given: Target,
    /// The target that permanent redirects led to.
    remembered: Option<Target>,
    /// The target of the request that is sent now or next.
    current: Target,
    /// The number of redirects that this attempt has followed.
    redirects: u32,
    /// Whether all redirects of this attempt were permanent.
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
        Self { current: given.clone(), given, remembered: None, redirects: 0, is_permanent: true }
    }

    pub(super) fn set_method(&mut self, method: &str, has_body: bool) {
        (self.given.method, self.given.has_body) = (method.to_string(), has_body);
    }

    /// Starts a new attempt.
    pub(super) fn start_attempt(&mut self) {
        self.current = self.remembered.as_ref().unwrap_or(&self.given).clone();
        (self.redirects, self.is_permanent) = (0, true);
    }

    /// Forgets permanent redirects, because their target has no event stream any more.
    pub(super) fn forget_redirects(&mut self) {
        self.remembered = None;
    }

    /// Follows a redirect with this status, one of 301, 302, 303, 307 and 308.
    ///
    /// Source: the Fetch standard, section 4.4, "HTTP-redirect fetch".
    pub(super) fn follow(&mut self, status: u16, location: Option<&[u8]>, limit: u32) -> Result<(), RedirectError> {
        let url = self.resolve(location.ok_or(RedirectError::NoLocation)?)?;
        if self.redirects >= limit {
            return Err(RedirectError::TooMany { limit });
        }
        self.redirects += 1;
        // Stays set until the end of the attempt: the other origin chose where the redirect leads, even if it leads back.
        self.current.is_cross_origin |= url.origin() != self.given.url.origin();
        self.current.url = without_credentials(url);
        if changes_to_get(status, &self.current.method) {
            (self.current.method, self.current.has_body) = ("GET".to_string(), false);
        }
        self.is_permanent &= matches!(status, 301 | 308);
        if self.is_permanent {
            self.remembered = Some(self.current.clone());
        }
        Ok(())
    }

    /// Returns the URL that a `Location` means, if the client may request it.
    fn resolve(&self, location: &[u8]) -> Result<Url, RedirectError> {
        let url = str::from_utf8(location).ok().and_then(|location| self.current.url.join(location).ok());
        let Some(url) = url else {
            return Err(RedirectError::InvalidLocation { location: shown_url(location) });
        };
        match (self.current.url.scheme(), url.scheme()) {
            ("https", "http") => Err(RedirectError::Insecure { location: shown_url(url.as_str().as_bytes()) }),
            (_, "http" | "https") => Ok(url),
            _ => Err(RedirectError::InvalidLocation { location: shown_url(url.as_str().as_bytes()) }),
        }
    }

    pub(super) fn current(&self) -> &Target {
        &self.current
    }
}

/// Whether a redirect with this status turns the request into a `GET` without a body.
///
/// "If internalResponse's status is 301 or 302 and request's method is `POST`", or "is 303 and request's method is not
/// `GET` or `HEAD`", then "set request's method to `GET` and request's body to null".
fn changes_to_get(status: u16, method: &str) -> bool {
    match status {
        301 | 302 => method == "POST",
        303 => !matches!(method, "GET" | "HEAD"),
        _ => false,
    }
}

/// Removes the credentials from a URL.
///
/// Those of the application are sent in a header field. Those in a `Location` are not sent at all.
fn without_credentials(mut url: Url) -> Url {
    // Both calls fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// Returns a URL, or a text that should be one, as an error may show it: without secrets, at most 256 bytes.
pub(super) fn shown_url(text: &[u8]) -> String {
    let parsed = str::from_utf8(text).ok().and_then(|text| Url::parse(text).ok());
    if let Some(url) = parsed {
        let mut url = without_credentials(url);
        url.set_query(None);
        url.set_fragment(None);
        return excerpt(url.as_str().as_bytes());
    }
    // Removes the parts that would be a query, a fragment and credentials if the text were a URL.
    let shown = text.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    excerpt(shown.rsplit(|byte| *byte == b'@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(url: &str) -> Targets {
        Targets::new(Url::parse(url).unwrap())
    }

    /// Follows a redirect. Returns the URL, the method and whether there is a body.
    fn follow(targets: &mut Targets, status: u16, location: &str) -> (String, String, bool) {
        targets.follow(status, Some(location.as_bytes()), 20).unwrap();
        let Target { url, method, has_body, .. } = targets.current();
        (url.to_string(), method.clone(), *has_body)
    }

    #[test]
    fn redirect_changes_the_method_as_the_fetch_standard_says() {
        for (status, method, expected_method) in [
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
            targets.start_attempt();
            let expected = ("http://a/y".to_string(), expected_method.to_string(), expected_method == method);
            assert_eq!(follow(&mut targets, status, "y"), expected, "{status} {method}");
        }
    }

    #[test]
    fn only_permanent_redirects_from_the_start_are_remembered() {
        let mut targets = targets("http://a/1");
        follow(&mut targets, 301, "/2");
        follow(&mut targets, 308, "//b/3");
        assert!(targets.current().is_cross_origin);
        follow(&mut targets, 302, "/4");
        follow(&mut targets, 301, "/5");
        targets.start_attempt();
        assert_eq!(targets.current().url.as_str(), "http://b/3");
        assert!(targets.current().is_cross_origin);
        follow(&mut targets, 302, "http://a/6");
        assert!(targets.current().is_cross_origin, "another origin chose this target");
        targets.forget_redirects();
        targets.start_attempt();
        assert_eq!(targets.current().url.as_str(), "http://a/1");
        assert!(!targets.current().is_cross_origin);
    }

    #[test]
    fn other_scheme_host_or_port_is_another_origin() {
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
            let Target { url, is_cross_origin: found, .. } = targets.current();
            assert_eq!((*found, url.username(), url.password()), (is_cross_origin, "", None), "{location}");
        }
    }

    #[test]
    fn remembered_target_keeps_its_method_and_body() {
        for (status, method, has_body) in [(301, "GET", false), (308, "POST", true)] {
            let mut targets = targets("http://a/x");
            targets.set_method("POST", true);
            targets.start_attempt();
            // The next attempt does not send a body that the redirect removed.
            let expected = ("http://b/y".to_string(), method.to_string(), has_body);
            assert_eq!(follow(&mut targets, status, "http://b/y"), expected);
            targets.start_attempt();
            let Target { url, method, has_body, is_cross_origin } = targets.current().clone();
            assert!(is_cross_origin);
            assert_eq!((url.to_string(), method, has_body), expected);
            targets.forget_redirects();
            targets.start_attempt();
            assert_eq!((&*targets.current().method, targets.current().has_body), ("POST", true));
        }
    }

    #[test]
    fn refused_redirect_says_why_without_secrets() {
        let mut targets = targets("https://a/1");
        let mut refused = |location: Option<&[u8]>, limit| targets.follow(302, location, limit).unwrap_err();
        let invalid = |location: &str| RedirectError::InvalidLocation { location: location.to_string() };
        assert_eq!(refused(None, 20), RedirectError::NoLocation);
        assert_eq!(refused(Some(b"http://"), 20), invalid("http://"));
        assert_eq!(refused(Some(b"javascript:alert(1)"), 20), invalid("javascript:alert(1)"));
        assert_eq!(refused(Some(b"\xff"), 20), invalid("\u{fffd}"));
        // The text has no secrets and at most 256 bytes.
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
