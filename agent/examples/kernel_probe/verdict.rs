//! Lines of the report.

use std::fmt::Debug;
use std::process::ExitCode;

/// Counts what failed.
#[derive(Default)]
pub(crate) struct Verdict {
    passed: u32,
    failed: u32,
}

impl Verdict {
    pub(crate) fn check(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("PASS {name}");
            }
            Err(reason) => {
                self.failed += 1;
                println!("FAIL {name}: {reason}");
            }
        }
    }

    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, name: &str, found: T, expected: T) {
        self.check(name, if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) });
    }

    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("SKIP {name}: {reason}");
    }

    pub(crate) fn note(&self, text: &str) {
        println!("NOTE {text}");
    }

    pub(crate) fn finish(self) -> ExitCode {
        println!("RESULT {} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
