//! One agent per node: a second one would report everything twice.

use super::CommandError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[error("another agent runs on this node (it holds {0}); stop it first")]
struct Taken(String);

/// Takes the lock in the state directory, or below `/run` where that cannot be written. Held until it is dropped; the
/// kernel lets go of it however the process ends.
///
/// # Errors
/// Another agent holds it, or neither place can be written.
pub(super) fn only_agent(state_dir: &Path) -> Result<File, CommandError> {
    let open = |dir: &Path| {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("agent.lock");
        File::options().create(true).truncate(false).write(true).open(&path).map(|file| (file, path))
    };
    let (file, path) = open(state_dir)
        .or_else(|_| open(Path::new("/run/remora")))
        .map_err(|source| CommandError::Io { doing: format!("write state.dir {}", state_dir.display()), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(CommandError::Failed { doing: "start", source: Box::new(Taken(path.display().to_string())) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_of_the_first() {
        let dir = std::env::temp_dir().join(format!("remora-lock-{}", std::process::id()));
        let first = only_agent(&dir).unwrap();
        let second = only_agent(&dir).unwrap_err().to_string();
        assert!(second.contains("another agent runs on this node"), "{second}");
        drop(first);
        assert!(only_agent(&dir).is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
