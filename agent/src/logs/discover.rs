//! Which files are logs: those of containers, of pods, and those that the configuration names.

use super::lane::Format;
use super::owner::Owners;
use super::position::FileKey;
use super::proc_files;
use super::siblings;
use crate::entity::container::Container;
use crate::entity::kubelet_logs::{self, PODS, PodContainer, below, entries};
use crate::entity::table::{Entity, Lookup, Who};
use crate::selection::Glob;
use remora_core::model::Pid;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most files that one scan finds.
const MAX_FOUND: usize = 16_384;
/// Most directory entries that one scan of the configured globs looks at.
const MAX_ENTRIES: usize = 100_000;
/// Deepest directory below a glob's fixed part.
const MAX_DEPTH: usize = 16;

/// A log file.
pub(super) struct Found {
    /// Where it is read.
    pub(super) path: PathBuf,
    /// `log.file.path`.
    pub(super) shown: String,
    pub(super) format: Format,
    pub(super) entity: Arc<Entity>,
    /// Whose patterns are shared.
    pub(super) workload: String,
}

/// The workload of an entity: replicas and restarts of one share it.
pub(super) fn workload_of(entity: &Entity) -> String {
    format!("{}/{}", entity.service.namespace.as_deref().unwrap_or_default(), entity.service.name)
}

/// Logs of the containers that the entities know.
pub(super) fn containers(root: &Path, owners: &Owners) -> Vec<Found> {
    let entities = owners.entities();
    let described = entities.all().into_iter().filter_map(|entity| entity.container.clone());
    let mut files: HashMap<PathBuf, Arc<Container>> = HashMap::new();
    for container in described {
        if let Some(path) = &container.log.path {
            files.entry(path.clone()).or_insert(container.clone());
        }
    }
    let found = files.into_iter().filter_map(|(path, container)| {
        let entity = entities.by_container(&container.reference.id)?;
        let format = match container.log.driver.as_deref() {
            Some("json-file") => Format::DockerJson,
            Some("local") => Format::DockerLocal,
            Some("k8s-file") => Format::Cri,
            _ => return None,
        };
        let workload = workload_of(&entity);
        Some(Found { path: below(root, &path), shown: path.display().to_string(), format, entity, workload })
    });
    found.collect()
}

/// Logs of pods: `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`.
pub(super) fn pods(root: &Path, owners: &mut Owners) -> Vec<Found> {
    let base = Path::new(PODS);
    let mut ids = None;
    let mut found = Vec::new();
    for pod in entries(&below(root, base)) {
        for container in entries(&pod) {
            for file in entries(&container).into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "log")) {
                let Some(name) = PodContainer::of_log(&file) else { continue };
                if found.len() >= MAX_FOUND {
                    return found;
                }
                let shown = base.join(file.strip_prefix(below(root, base)).unwrap_or(&file));
                let id = ids.get_or_insert_with(|| kubelet_logs::ids_by_log(root)).get(&shown).cloned();
                let entity = owners.pod(name, id);
                let workload = workload_of(&entity);
                // Docker as the runtime of a kubelet leaves links to its own files here, which are followed by themselves.
                if file.is_symlink() {
                    continue;
                }
                found.push(Found { path: file, shown: shown.display().to_string(), format: Format::Cri, entity, workload });
            }
        }
    }
    found
}

/// Files that the configuration names.
pub(super) struct Globs<'a> {
    pub(super) include: &'a [Glob],
    pub(super) exclude: &'a [Glob],
}

impl Globs<'_> {
    fn wants(&self, path: &str) -> bool {
        self.include.iter().any(|glob| glob.is_match(path)) && !self.exclude.iter().any(|glob| glob.is_match(path))
    }

    /// Files below the fixed parts of the globs, and files that processes write in other mount namespaces, each once. A file
    /// whose owner is not known yet comes with a later scan.
    pub(super) fn find(&self, root: &Path, proc_root: &Path, owners: &mut Owners) -> Vec<Found> {
        if self.include.is_empty() {
            return Vec::new();
        }
        // Processes after files: whoever has made a file has it open by then.
        let walked = self.walk(root);
        let written = proc_files::written(proc_root, |path| self.wants(path));
        let writers: HashMap<FileKey, Pid> = written.iter().map(|file| (file.key, file.pid)).collect();
        let mut seen = std::collections::HashSet::new();
        let mut found = Vec::new();
        let walked =
            walked.into_iter().map(|(path, shown)| (std::fs::metadata(&path).ok().map(|metadata| FileKey::of(&metadata)), path, shown));
        let elsewhere = written.into_iter().filter(|file| file.is_elsewhere(root));
        let elsewhere = elsewhere.map(|file| (Some(file.key), file.reached, file.path));
        for (key, path, shown) in walked.chain(elsewhere) {
            let Some(key) = key.filter(|key| seen.insert(*key)) else { continue };
            if found.len() >= MAX_FOUND || siblings::looks_rotated(&path) {
                continue;
            }
            let entity = match writers.get(&key) {
                Some(pid) => match owners.entities().lookup(&Who::pid(*pid)) {
                    Lookup::Known(entity) => entity,
                    Lookup::Pending => continue,
                },
                None => owners.host(),
            };
            let workload = if writers.contains_key(&key) { workload_of(&entity) } else { shown.clone() };
            found.push(Found { path, shown, format: Format::Plain, entity, workload });
        }
        found
    }

    /// Paths that match, with their names on the host.
    fn walk(&self, root: &Path) -> Vec<(PathBuf, String)> {
        let mut left = MAX_ENTRIES;
        let mut found = Vec::new();
        for glob in self.include {
            let fixed = fixed_part(glob.pattern());
            self.enter(&below(root, &fixed), &fixed, MAX_DEPTH, &mut left, &mut found);
        }
        found
    }

    fn enter(&self, path: &Path, shown: &Path, depth: usize, left: &mut usize, found: &mut Vec<(PathBuf, String)>) {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.is_file() {
            found.extend(shown.to_str().filter(|shown| self.wants(shown)).map(|shown| (path.to_path_buf(), shown.to_owned())));
            return;
        }
        if !metadata.is_dir() || depth == 0 {
            return;
        }
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return;
            }
            // Links to directories may go in circles.
            let link_to_directory = entry.file_type().is_ok_and(|kind| kind.is_symlink()) && entry.path().is_dir();
            if !link_to_directory {
                self.enter(&entry.path(), &shown.join(entry.file_name()), depth - 1, left, found);
            }
        }
    }
}

/// The directories in front of the first part that is a pattern.
fn fixed_part(pattern: &str) -> PathBuf {
    pattern.split_inclusive('/').take_while(|part| !part.contains(['*', '?', '[', '{', '\\'])).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_entered_below_their_fixed_part() {
        assert_eq!(fixed_part("/var/log/app/**/*.log"), Path::new("/var/log/app/"));
        assert_eq!(fixed_part("/var/log/a.log"), Path::new("/var/log/a.log"));
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/x.log", "a/b/y.log", "a/b/z.txt", "a/skip/s.log"] {
            let path = dir.path().join("opt").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let (include, exclude) = ([Glob::new("/opt/a/**/*.log").unwrap()], [Glob::new("/opt/a/skip/*").unwrap()]);
        let mut found: Vec<String> =
            Globs { include: &include, exclude: &exclude }.walk(dir.path()).into_iter().map(|found| found.1).collect();
        found.sort_unstable();
        assert_eq!(found, ["/opt/a/b/y.log", "/opt/a/x.log"]);
    }
}
