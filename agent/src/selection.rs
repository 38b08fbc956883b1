//! What the user wants observed: include and exclude rules over facts of a process and a request.
//!
//! Facts arrive over time (the port is known before the container, the container before the path of a
//! request), so an answer has three values: a rule that needs a fact nobody knows yet leaves the
//! question undecided instead of guessing. The capture asks early and may ignore a connection for
//! good as soon as the answer is `No`. Pure: no I/O, no clock.

use std::fmt;

/// A shell glob over names or paths: `*`, `?`, `[a-z]`, `{a,b}`; `*` does not cross `/`, `**` does.
#[derive(Clone)]
pub struct Glob {
    matcher: globset::GlobMatcher,
}

impl Glob {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// The syntax error of the pattern, in words.
    pub fn new(pattern: &str) -> Result<Self, String> {
        globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map(|glob| Self { matcher: glob.compile_matcher() })
            .map_err(|error| error.kind().to_string())
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.matcher.is_match(text)
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        self.matcher.glob().glob()
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.pattern())
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern()
    }
}

impl Eq for Glob {}

/// An inclusive range of TCP or UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports `first..=last`; `None` if that is empty.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Reads `8080` or `8000-8099`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(first.trim().parse().ok()?, last.trim().parse().ok()?)
    }

    /// Whether `port` lies in the range.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// What is known of one property of the subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// Nobody has found out yet.
    #[default]
    Unknown,
    /// The subject has no such property (a plain process has no container).
    Absent,
    /// The value.
    Known(T),
}

/// A fact that is as known now as it will ever be.
impl<T> From<Option<T>> for Fact<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

/// The subject of a question.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Container name.
    pub container: Fact<&'a str>,
    /// Service name, as exported in `service.name`.
    pub service: Fact<&'a str>,
    /// Absolute path of the executable.
    pub executable: Fact<&'a str>,
    /// Port of the server side of the connection.
    pub port: Fact<u16>,
    /// Path of the request's target, without its query.
    pub path: Fact<&'a str>,
}

/// The answer to "is it selected".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Selected, whatever the unknown facts turn out to be.
    Yes,
    /// Not selected, whatever the unknown facts turn out to be.
    No,
    /// Depends on a fact that is not known yet.
    Undecided,
}

impl Verdict {
    fn of(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Undecided => Self::Undecided,
        }
    }

    /// `Yes` if all are, `No` if any is.
    fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::Yes;
        for verdict in verdicts {
            match verdict {
                Self::No => return Self::No,
                Self::Undecided => result = Self::Undecided,
                Self::Yes => {}
            }
        }
        result
    }

    /// `Yes` if any is, `No` if all are.
    fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        Self::all(verdicts.into_iter().map(Self::not)).not()
    }
}

/// One rule: every property that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Container name.
    pub container: Option<Glob>,
    /// Service name.
    pub service: Option<Glob>,
    /// Executable: its base name, or its whole path if the glob has a `/`.
    pub executable: Option<Glob>,
    /// Server port.
    pub port: Option<PortRange>,
    /// Request path.
    pub path: Option<Glob>,
}

impl Matcher {
    /// Whether the rule matches.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        Verdict::all([
            judge(self.container.as_ref(), facts.container, Glob::is_match),
            judge(self.service.as_ref(), facts.service, Glob::is_match),
            judge(self.executable.as_ref(), facts.executable, executable_matches),
            judge(self.port.as_ref(), facts.port, |range, port| range.contains(port)),
            judge(self.path.as_ref(), facts.path, Glob::is_match),
        ])
    }
}

fn judge<R, T>(rule: Option<&R>, fact: Fact<T>, matches: impl Fn(&R, T) -> bool) -> Verdict {
    match (rule, fact) {
        (None, _) => Verdict::Yes,
        (Some(_), Fact::Unknown) => Verdict::Undecided,
        (Some(_), Fact::Absent) => Verdict::No,
        (Some(rule), Fact::Known(value)) => Verdict::of(matches(rule, value)),
    }
}

fn executable_matches(glob: &Glob, executable: &str) -> bool {
    if glob.pattern().contains('/') {
        return glob.is_match(executable);
    }
    glob.is_match(executable.rsplit('/').next().unwrap_or(executable))
}

/// Include and exclude rules. Without include rules everything is included; exclude rules win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is observed; empty means everything.
    pub include: Vec<Matcher>,
    /// What is not observed although it is included.
    pub exclude: Vec<Matcher>,
}

impl Selection {
    /// Whether there is no rule: everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether the subject is selected.
    #[must_use]
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        let included =
            if self.include.is_empty() { Verdict::Yes } else { Verdict::any(self.include.iter().map(|rule| rule.evaluate(facts))) };
        let excluded = Verdict::any(self.exclude.iter().map(|rule| rule.evaluate(facts)));
        Verdict::all([included, excluded.not()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &str) -> Option<Glob> {
        Some(Glob::new(pattern).expect("glob"))
    }

    fn container(pattern: &str) -> Matcher {
        Matcher { container: glob(pattern), ..Matcher::default() }
    }

    fn port(text: &str) -> Matcher {
        Matcher { port: PortRange::parse(text), ..Matcher::default() }
    }

    #[test]
    fn everything_is_selected_without_rules_and_without_facts() {
        assert_eq!(Selection::default().evaluate(&Facts::default()), Verdict::Yes);
    }

    #[test]
    fn rules_decide_as_early_as_they_can() {
        let only_shop = Selection { include: vec![container("shop-*")], exclude: vec![port("9000-9999")] };
        let cases = [
            (Fact::Known("shop-cart"), Fact::Known(80), Verdict::Yes),
            (Fact::Known("shop-cart"), Fact::Known(9100), Verdict::No),
            (Fact::Known("shop-cart"), Fact::Unknown, Verdict::Undecided),
            (Fact::Known("mail"), Fact::Unknown, Verdict::No),
            (Fact::Unknown, Fact::Known(9100), Verdict::No),
            (Fact::Unknown, Fact::Known(80), Verdict::Undecided),
            (Fact::Absent, Fact::Known(80), Verdict::No),
        ];
        for (container, port, verdict) in cases {
            let facts = Facts { container, port, ..Facts::default() };
            assert_eq!(only_shop.evaluate(&facts), verdict, "{facts:?}");
        }
    }

    #[test]
    fn all_properties_of_one_rule_must_match() {
        let rule = Matcher { service: glob("api"), path: glob("/health/**"), ..Matcher::default() };
        let facts = |service, path| Facts { service: Fact::Known(service), path, ..Facts::default() };
        assert_eq!(rule.evaluate(&facts("api", Fact::Known("/health/live/x"))), Verdict::Yes);
        assert_eq!(rule.evaluate(&facts("api", Fact::Known("/orders"))), Verdict::No);
        assert_eq!(rule.evaluate(&facts("api", Fact::Unknown)), Verdict::Undecided);
        assert_eq!(rule.evaluate(&facts("web", Fact::Unknown)), Verdict::No);
    }

    #[test]
    fn executables_match_by_base_name_or_by_whole_path() {
        let rule = |pattern| Matcher { executable: glob(pattern), ..Matcher::default() };
        let facts = Facts { executable: Fact::Known("/usr/sbin/nginx"), ..Facts::default() };
        assert_eq!(rule("nginx").evaluate(&facts), Verdict::Yes);
        assert_eq!(rule("/usr/*/nginx").evaluate(&facts), Verdict::Yes);
        assert_eq!(rule("/opt/**").evaluate(&facts), Verdict::No);
        assert_eq!(rule("sbin").evaluate(&facts), Verdict::No);
    }

    #[test]
    fn port_ranges_are_read_and_printed() {
        assert_eq!(PortRange::parse("80").map(|r| r.to_string()).as_deref(), Some("80"));
        assert_eq!(PortRange::parse("8000-8099").map(|r| r.to_string()).as_deref(), Some("8000-8099"));
        for bad in ["", "-", "80-", "90-80", "65536", "http", "-1"] {
            assert_eq!(PortRange::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        /// A decision taken early stays right whatever the unknown facts turn out to be.
        #[test]
        fn early_answers_are_never_revised(
            include in proptest::collection::vec(0..4usize, 0..3),
            exclude in proptest::collection::vec(0..4usize, 0..3),
            container_known in 0..3u8, port_known in any::<bool>(),
            name in "[ab]{1,2}", number in 78..83u16,
        ) {
            let rules = [container("a*"), port("80"), port("79-81"),
                Matcher { container: glob("*b"), port: PortRange::parse("80"), ..Matcher::default() }];
            let pick = |indexes: Vec<usize>| indexes.into_iter().map(|i| rules[i].clone()).collect();
            let selection = Selection { include: pick(include), exclude: pick(exclude) };
            let full = Facts { container: Fact::Known(&name), port: Fact::Known(number), ..Facts::default() };
            let partial = Facts {
                container: if container_known == 0 { Fact::Unknown } else { full.container },
                port: if port_known { full.port } else { Fact::Unknown },
                ..Facts::default()
            };
            let early = selection.evaluate(&partial);
            let late = selection.evaluate(&full);
            prop_assert_ne!(late, Verdict::Undecided);
            prop_assert!(early == Verdict::Undecided || early == late);
        }
    }
}
