//! Who may read the API, decided from the request's head alone.
//!
//! On a loopback address every local user may, but no web page of another site: a `Host` that is no loopback name means that
//! a browser was tricked there by DNS rebinding. On any other address a token is asked for. The page itself holds no data.

use std::net::{IpAddr, SocketAddr};

/// The secret of an API that listens on more than loopback.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// `None` for an empty text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Compares in a time that tells nothing of where the difference is.
    fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        own.len() == given.len() && own.iter().zip(given).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Rule of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Loopback, for everyone on the machine.
    Local,
    /// For holders of the token.
    Token(Token),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// `Host` names another machine.
    #[error("this address is for the local machine only: open it as http://127.0.0.1 or http://localhost")]
    ForeignHost,
    /// No token, or a wrong one.
    #[error("this address needs the view's token: send it as `Authorization: Bearer TOKEN` or `?token=TOKEN`")]
    NoToken,
}

/// What the rule looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head<'a> {
    /// `Host`.
    pub(super) host: Option<&'a str>,
    /// `Authorization`.
    pub(super) authorization: Option<&'a str>,
    /// Query of the target.
    pub(super) query: Option<&'a str>,
}

impl Access {
    /// The rule of a listener; `None` where a token is needed and none is set.
    pub(super) fn new(listen: SocketAddr, token: Option<Token>) -> Option<Self> {
        match token {
            Some(token) => Some(Self::Token(token)),
            None => listen.ip().to_canonical().is_loopback().then_some(Self::Local),
        }
    }

    /// Whether the head of a request may pass.
    pub(super) fn check(&self, head: Head<'_>) -> Result<(), Refusal> {
        match self {
            Self::Local if head.host.is_some_and(is_local) => Ok(()),
            Self::Local => Err(Refusal::ForeignHost),
            Self::Token(token) => given_token(head).filter(|given| token.is(given)).map(|_| ()).ok_or(Refusal::NoToken),
        }
    }
}

fn given_token(head: Head<'_>) -> Option<&str> {
    let bearer = head.authorization.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    bearer.or_else(|| head.query?.split('&').find_map(|pair| pair.strip_prefix("token=")))
}

/// Whether a `Host` value (RFC 9110 §7.2: host with an optional port) names this machine by loopback.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers_loopback_names_only() {
        let access = Access::new(([127, 0, 0, 1], 4390).into(), None).expect("loopback");
        let check = |host| access.check(Head { host: Some(host), ..Head::default() });
        for good in ["localhost", "localhost:4390", "LOCALHOST:1", "127.0.0.1:4390", "127.8.8.8", "[::1]:4390", "[::1]"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "evil.example", "evil.example:4390", "127.0.0.1.evil.example", "10.0.0.1:4390", "[fe80::1]", "[", "localhost.evil"]
        {
            assert_eq!(check(bad), Err(Refusal::ForeignHost), "{bad}");
        }
        assert_eq!(access.check(Head::default()), Err(Refusal::ForeignHost));
    }

    #[test]
    fn another_address_needs_the_token() {
        let listen = SocketAddr::from(([0, 0, 0, 0], 4390));
        assert_eq!(Access::new(listen, None), None);
        let access = Access::new(listen, Token::new("s3cret")).expect("with token");
        let ok = |authorization, query| access.check(Head { host: Some("node1:4390"), authorization, query }).is_ok();
        assert!(ok(Some("Bearer s3cret"), None) && ok(None, Some("after=1&token=s3cret")));
        assert!(!ok(None, None) && !ok(Some("Bearer s3cre"), None) && !ok(Some("s3cret"), None) && !ok(None, Some("xtoken=s3cret")));
        assert_eq!(Token::new(""), None);
        assert_eq!(format!("{access:?}"), "Token(Token(…))");
    }
}
