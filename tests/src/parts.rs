//! The real programs that `scripts/setup-tests` brought, and where the build's own files are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The program of a part (`nginx`, `otelcol`, `python`, …), or `None` after printing why the test is skipped.
///
/// A part that set-up never asked about is looked up in `PATH`, for a test that is run by hand.
#[must_use]
pub fn part(name: &str) -> Option<PathBuf> {
    let noted = target_dir().join("parts");
    if let Ok(path) = fs::read_to_string(noted.join(format!("{name}.path"))) {
        return Some(PathBuf::from(path.trim_end()));
    }
    if let Ok(reason) = fs::read_to_string(noted.join(format!("{name}.skip"))) {
        eprintln!("SKIP {name}: {}", reason.trim_end());
        return None;
    }
    let found = in_path(name);
    if found.is_none() {
        eprintln!("SKIP {name}: not set up, run scripts/setup-tests");
    }
    found
}

fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Whether this process may capture traffic; prints why not.
#[must_use]
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIP: needs root");
    }
    root
}

/// The directory that the build writes to: two above the test's own program in `<target>/<profile>/deps`.
///
/// # Panics
/// The test's program is not where cargo puts it.
#[must_use]
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile's directory has a parent").to_path_buf()
}

/// `<target>/<profile>`, where the agent's program is too.
pub(crate) fn profile_dir() -> PathBuf {
    let program = env::current_exe().expect("the path of this program");
    program.parent().and_then(Path::parent).expect("cargo runs tests from <target>/<profile>/deps").to_path_buf()
}

/// The root of the checkout.
///
/// # Panics
/// This crate has no parent directory.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are below the repository's root").to_path_buf()
}
