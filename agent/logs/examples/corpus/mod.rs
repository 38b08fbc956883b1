//! Expands statements with typed slots (`corpora/*.txt`) to log lines whose statement is known.
//! A file has one `header` line and one statement a line: weight, level, logger, text, separated by tabs.

use remora_logs::Severity;
use std::fmt::Write as _;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    Content,
    Json,
    Logfmt,
}

/// One program's way of logging.
pub(crate) struct Style {
    pub(crate) name: String,
    header: String,
    statements: Vec<Statement>,
}

struct Statement {
    weight: u64,
    level: String,
    logger: String,
    text: String,
}

/// One expanded line.
pub(crate) struct Line {
    pub(crate) label: String,
    level: String,
    logger: String,
    header: String,
    content: String,
}

impl Line {
    pub(crate) fn text(&self, form: Form) -> String {
        let level = if self.level == "-" { "INFO" } else { &self.level };
        let quoted = self.content.replace('\\', "\\\\").replace('"', "\\\"");
        match form {
            Form::Raw => format!("{}{}", self.header, self.content),
            Form::Content => self.content.clone(),
            Form::Json => format!(
                "{{\"time\":\"2026-11-25T15:04:05Z\",\"level\":\"{level}\",\"logger\":\"{}\",\"message\":\"{quoted}\",\"seq\":7}}",
                self.logger
            ),
            Form::Logfmt => format!(
                "time=2026-11-25T15:04:05Z level={level} logger={} msg=\"{quoted}\" seq=7",
                self.logger.replace([' ', '(', ')', '[', ']', '/'], "_")
            ),
        }
    }

    /// The severity number that is right; `None` if the style has no levels.
    pub(crate) fn severity(&self) -> Option<u8> {
        (self.level != "-").then(|| match self.level.as_str() {
            "V" => 1,
            "D" => 5,
            "I" => 9,
            "W" => 13,
            "E" => 17,
            level => Severity::from_word(level.as_bytes()).map_or(0, Severity::number),
        })
    }
}

/// All styles of `corpora/`.
pub(crate) fn styles() -> Vec<Style> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/corpora");
    let mut files: Vec<_> = std::fs::read_dir(directory).expect("the corpora").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            Style::parse(path.file_stem().and_then(|stem| stem.to_str()).expect("a name"), &std::fs::read_to_string(path).expect("UTF-8"))
        })
        .collect()
}

impl Style {
    fn parse(name: &str, text: &str) -> Self {
        let mut lines = text.lines();
        let header = lines.next().and_then(|line| line.strip_prefix("header ")).expect("a header line").to_owned();
        let statements = lines
            .map(|line| {
                let mut columns = line.splitn(4, '\t').map(str::to_owned);
                let mut column = || columns.next().expect("four columns");
                Statement { weight: column().parse().expect("a weight"), level: column(), logger: column(), text: column() }
            })
            .collect();
        Self { name: name.to_owned(), header, statements }
    }

    /// So many lines, the same in every run.
    pub(crate) fn expand(&self, count: usize) -> Vec<Line> {
        let mut random = Random(self.name.len() as u64 * 7919 + 17);
        let total: u64 = self.statements.iter().map(|statement| statement.weight).sum();
        (0..count)
            .map(|_| {
                let mut choice = random.below(total);
                let (index, statement) = self
                    .statements
                    .iter()
                    .enumerate()
                    .find(|(_, statement)| {
                        let found = choice < statement.weight;
                        choice = choice.saturating_sub(statement.weight);
                        found
                    })
                    .expect("weights add up");
                let header = self
                    .header
                    .replace("{LEVEL}", &statement.level)
                    .replace("{level}", &statement.level)
                    .replace("{Level}", &statement.level);
                let logger = random.fill(&statement.logger);
                let header = header.replace("{L}", &statement.level).replace("{TAG}", &statement.level).replace("{LOGGER}", &logger);
                Line {
                    label: format!("{index}: {}", statement.text),
                    level: statement.level.clone(),
                    logger,
                    header: random.fill(&header),
                    content: random.fill(&statement.text),
                }
            })
            .collect()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A pronounceable word out of a pool of `pool`, few of them frequent.
    fn word(&mut self, pool: u64) -> String {
        let number = self.below(pool).min(self.below(pool)) + pool * 31;
        let mut inner = Random(number);
        (0..2 + inner.below(2))
            .map(|_| {
                format!(
                    "{}{}",
                    inner.pick(&["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v"]),
                    inner.pick(&["a", "e", "i", "o", "u"])
                )
            })
            .collect()
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|at| char::from(b'0' + if at == 0 { 1 + self.below(9) } else { self.below(10) } as u8)).collect()
    }

    fn hex(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b"0123456789abcdef"[self.below(16) as usize])).collect()
    }

    fn capital(&mut self, pool: u64) -> String {
        let word = self.word(pool);
        word[..1].to_uppercase() + &word[1..]
    }

    fn fill(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            rest = &rest[open + 1..];
            let value = rest.find('}').and_then(|close| Some((close, self.slot(&rest[..close])?)));
            match value {
                Some((close, value)) => {
                    out.push_str(&value);
                    rest = &rest[close + 1..];
                }
                None => out.push('{'),
            }
        }
        out + rest
    }

    fn numbers(&mut self, parts: &[(&str, u64, u64)]) -> String {
        let mut out = String::new();
        for (prefix, from, to) in parts {
            let value = from + self.below(to - from + 1);
            write!(out, "{prefix}{value:02}").expect("memory does not fail");
        }
        out
    }

    fn time(&mut self, separator: &str) -> String {
        self.numbers(&[("", 0, 23), (separator, 0, 59), (separator, 0, 59)])
    }

    fn slot(&mut self, name: &str) -> Option<String> {
        if name.contains('|') {
            let choices: Vec<&str> = name.split('|').collect();
            return Some(self.pick(&choices).to_owned());
        }
        let sized = |prefix: &str| name.strip_prefix(prefix).and_then(|digits| digits.parse::<usize>().ok());
        if let Some(count) = sized("n") {
            return Some(self.digits(count));
        }
        if let Some(count) = sized("hex") {
            return Some(self.hex(count));
        }
        self.time_slot(name).or_else(|| self.name_slot(name)).or_else(|| self.value_slot(name))
    }

    fn time_slot(&mut self, name: &str) -> Option<String> {
        Some(match name {
            "hms" => self.time(":"),
            "ymd-" => self.numbers(&[("2017-", 1, 12), ("-", 1, 28)]),
            "y/m/d" => self.numbers(&[("2016/", 1, 12), ("/", 1, 28)]),
            "mm-dd" => self.numbers(&[("", 1, 12), ("-", 1, 28)]),
            "mmdd" => self.numbers(&[("", 1, 12), ("", 1, 28)]),
            "iso" => format!("{} {}", self.numbers(&[("2015-", 1, 12), ("-", 1, 28)]), self.time(":")),
            "ms" => self.digits(3),
            "us" => self.digits(6),
            "syslog" => format!("{} {:2} {}", self.pick(&["Jun", "Jul", "Dec"]), 1 + self.below(28), self.time(":")),
            _ => return None,
        })
    }

    fn name_slot(&mut self, name: &str) -> Option<String> {
        Some(match name {
            "word" => self.word(25),
            "Words" => (0..1 + self.below(3)).map(|_| self.capital(60)).collect::<Vec<_>>().join(" "),
            "words" => (0..1 + self.below(6)).map(|_| self.word(400)).collect::<Vec<_>>().join(" "),
            "name" => self.word(300),
            "user" => self.word(8),
            "Host" => format!("{}-{}", self.word(5), self.below(40)),
            "ns" => self.word(6),
            "pod" => format!("{}-{}-{}", self.word(9), self.hex(9), self.hex(5)),
            "Kind" => format!("*v1.{}", self.capital(9)),
            "thread" => {
                format!("{}-{}", self.pick(&["main", "pool-1-thread", "http-exec", "scheduling"]), self.below(9))
            }
            "file" => format!("{}.{}", self.word(30), self.pick(&["txt", "go", "xml", "cpp"])),
            "path" => format!("/{}/{}/{}", self.word(5), self.word(20), self.word(90)),
            _ => return None,
        })
    }

    fn value_slot(&mut self, name: &str) -> Option<String> {
        Some(match name {
            "n" => {
                let count = 1 + self.below(6) as usize;
                self.digits(count)
            }
            "sn" => self.below(10).to_string(),
            "port" => self.numbers(&[("", 1024, 65_000)]),
            "float" => format!("{}.{}", self.below(500), self.digits(3)),
            "v" => format!("{}.{}.{}", self.below(9), self.below(9), self.digits(4)),
            "ip" => format!("10.{}.{}.{}", self.below(256), self.below(256), self.below(256)),
            "mac" => (0..6).map(|_| self.hex(2)).collect::<Vec<_>>().join(":"),
            "uuid" => [8usize, 4, 4, 4, 12].map(|count| self.hex(count)).join("-"),
            "bool" => self.pick(&["true", "false"]).to_owned(),
            "error" => {
                self.pick(&["connection refused", "i/o timeout", "no such host", "broken pipe", "permission denied", "EOF"]).to_owned()
            }
            "sku" => format!("{}-{}", self.word(90), self.digits(3)),
            _ => return None,
        })
    }
}
