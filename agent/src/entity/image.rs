//! Image references: `registry:5000/team/shop:1.2@sha256:…` in parts.
//!
//! Pure; by the grammar of the distribution specification, leniently: what has no tag or digest simply has none.

/// A reference to a container image, in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRef<'a> {
    /// `container.image.name`: all but tag and digest.
    pub name: &'a str,
    /// Tag.
    pub tag: Option<&'a str>,
    /// Digest, like `sha256:…`.
    pub digest: Option<&'a str>,
}

/// Takes a reference apart.
#[must_use]
pub fn parse(reference: &str) -> ImageRef<'_> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash belongs to the registry's port.
    match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => ImageRef { name, tag: Some(tag), digest },
        _ => ImageRef { name: rest, tag: None, digest },
    }
}

/// Whether a reference is only an image id (`sha256:…`), which names nothing.
#[must_use]
pub fn is_id(reference: &str) -> bool {
    reference.strip_prefix("sha256:").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        for (reference, name, tag, digest) in [
            ("nginx", "nginx", None, None),
            ("nginx:1.27", "nginx", Some("1.27"), None),
            ("localhost:5000/team/shop", "localhost:5000/team/shop", None, None),
            ("localhost:5000/team/shop:v2", "localhost:5000/team/shop", Some("v2"), None),
            ("ghcr.io/a/b:1@sha256:ab", "ghcr.io/a/b", Some("1"), Some("sha256:ab")),
            ("ghcr.io/a/b@sha256:ab", "ghcr.io/a/b", None, Some("sha256:ab")),
            ("", "", None, None),
        ] {
            assert_eq!(parse(reference), ImageRef { name, tag, digest }, "{reference}");
        }
        assert!(is_id("sha256:0a1b"));
        assert!(!is_id("nginx"));
    }
}
