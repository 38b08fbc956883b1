//! The program that reads the journal: the machine's own `journalctl`, which knows the features of its files.
//!
//! Where the machine's root is mounted somewhere else, as in a container, that is the one below it, started by the machine's
//! own loader with the machine's own libraries: an image needs neither, and no privilege is needed. It must never be mixed with
//! libraries of the image: a loader and a C library of different versions do not work together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where journals are kept: on disk, or in memory until the next start.
const STORES: [&str; 2] = ["var/log/journal", "run/log/journal"];
/// Where programs are.
const PROGRAMS: [&str; 2] = ["usr/bin/journalctl", "bin/journalctl"];

/// A command that reads the journal of the machine whose root is at `root`.
pub(super) fn command(root: &Path) -> Command {
    if root == Path::new("/") {
        return Command::new("journalctl");
    }
    let mut command = on_machine(root, std::env::consts::ARCH).unwrap_or_else(|| Command::new("journalctl"));
    // Both stores, as the machine's own journalctl would read them.
    let stores = STORES.map(|store| root.join(store));
    let store = stores.iter().find(|store| store.is_dir()).unwrap_or(&stores[0]);
    command.arg("--directory").arg(store);
    command
}

/// The machine's program by the machine's loader; `None` where they are not where the FHS and its distributions put them.
fn on_machine(root: &Path, architecture: &str) -> Option<Command> {
    let libraries = libraries(root, architecture);
    let loader = libraries.iter().map(|directory| directory.join(loader(architecture).unwrap_or_default())).find(|path| path.is_file())?;
    let program = PROGRAMS.map(|program| root.join(program)).into_iter().find(|program| program.is_file())?;
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(joined(&libraries)).arg(program);
    Some(command)
}

/// File name of the loader (GNU C library, `sysdeps/unix/sysv/linux/*/shlib-versions`).
fn loader(architecture: &str) -> Option<&'static str> {
    match architecture {
        "x86_64" => Some("ld-linux-x86-64.so.2"),
        "aarch64" => Some("ld-linux-aarch64.so.1"),
        _ => None,
    }
}

/// The directories of libraries that there are, with systemd's own: Debian's multiarch, `lib64`, `lib`.
fn libraries(root: &Path, architecture: &str) -> Vec<PathBuf> {
    let kinds = [format!("lib/{architecture}-linux-gnu"), "lib64".to_owned(), "lib".to_owned()];
    let directories = ["usr", ""].into_iter().flat_map(|prefix| kinds.iter().map(move |kind| root.join(prefix).join(kind)));
    directories.flat_map(|directory| [directory.clone(), directory.join("systemd")]).filter(|directory| directory.is_dir()).collect()
}

fn joined(directories: &[PathBuf]) -> OsString {
    let mut list = OsString::new();
    for directory in directories {
        if !list.is_empty() {
            list.push(":");
        }
        list.push(directory);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with these files.
    fn machine(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a scratch directory");
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            std::fs::write(path, "").expect("a file");
        }
        root
    }

    /// The command on a machine, with `/` for its root.
    fn line(files: &[&str], architecture: &str) -> Option<String> {
        let root = machine(files);
        let command = on_machine(root.path(), architecture)?;
        let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
        Some(words.collect::<Vec<_>>().join(" ").replace(&*root.path().to_string_lossy(), ""))
    }

    #[test]
    fn the_machines_program_is_started_by_its_own_loader_and_libraries() {
        let debian = ["usr/bin/journalctl", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/systemd/x"];
        assert_eq!(
            line(&debian, "x86_64").as_deref(),
            Some(
                "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path \
                 /usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu/systemd:/usr/lib /usr/bin/journalctl"
            )
        );
        let fedora = ["usr/bin/journalctl", "usr/lib64/ld-linux-aarch64.so.1", "usr/lib64/systemd/x", "usr/lib/systemd/x"];
        assert_eq!(
            line(&fedora, "aarch64").as_deref(),
            Some(
                "/usr/lib64/ld-linux-aarch64.so.1 --library-path /usr/lib64:/usr/lib64/systemd:/usr/lib:/usr/lib/systemd /usr/bin/journalctl"
            )
        );
    }

    #[test]
    fn a_machine_without_program_or_loader_leaves_it_to_the_image() {
        assert_eq!(line(&["usr/bin/journalctl"], "x86_64"), None);
        assert_eq!(line(&["usr/lib64/ld-linux-x86-64.so.2"], "x86_64"), None);
        assert_eq!(line(&["usr/bin/journalctl", "usr/lib64/ld-linux-x86-64.so.2"], "riscv64"), None);
        let root = machine(&["run/log/journal/x"]);
        let command = command(root.path());
        assert_eq!(command.get_program(), "journalctl");
        assert_eq!(command.get_args().last(), Some(root.path().join("run/log/journal").as_os_str()));
    }
}
