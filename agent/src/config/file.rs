//! Finds and reads the configuration file: `--config`, else `REMORA_CONFIG`, else
//! `/etc/remora/config.yaml` if that exists.

use super::env::Environment;
use super::error::ConfigError;
use super::layers::File;
use super::raw::MAX_FILE_BYTES;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The file that is read if nobody names another.
pub const DEFAULT_PATH: &str = "/etc/remora/config.yaml";

/// Reads the file that was asked for, or the default one if it is there.
///
/// # Errors
/// A file that was asked for cannot be read, or any file is unreadable, too large or not UTF-8.
pub fn read(flag: Option<&Path>, environment: &Environment) -> Result<Option<File>, ConfigError> {
    let named = match flag {
        Some(path) => Some(path.to_owned()),
        None => environment.get("REMORA_CONFIG")?.map(PathBuf::from),
    };
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    match read_limited(&path) {
        Ok(text) => Ok(Some(File { path, text })),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

fn read_limited(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}
