//! Where traces lie: `NAME.json` or `NAME.json.gz` in a folder, those of this repository beside this crate.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flate2::read::GzDecoder;

use crate::Trace;

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or file.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why it could not be.
        error: io::Error,
    },
    /// The file is not a trace.
    #[error("{}: not a trace: {error}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The folder holds no trace.
    #[error("{}: no NAME.json or NAME.json.gz here", .0.display())]
    Empty(PathBuf),
}

/// The traces that travel with the repository.
pub fn recorded_scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces")
}

/// One of the repository's traces, by the scenario's name.
pub fn read_scenario(name: &str) -> Result<Trace, Error> {
    read(&recorded_scenarios().join(format!("{name}.json.gz")))
}

/// Every trace of a folder, by name.
pub fn read_folder(folder: &Path) -> Result<Vec<Trace>, Error> {
    let io = |error| Error::Io { path: folder.to_owned(), error };
    let entries: Vec<_> = fs::read_dir(folder).map_err(io)?.collect::<Result<_, _>>().map_err(io)?;
    let mut paths: Vec<PathBuf> =
        entries.into_iter().map(|entry| entry.path()).filter(|p| is_trace(p)).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Error::Empty(folder.to_owned()));
    }
    paths.iter().map(|path| read(path)).collect()
}

fn is_trace(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".json") || name.ends_with(".json.gz")
}

fn read(path: &Path) -> Result<Trace, Error> {
    let io = |error| Error::Io { path: path.to_owned(), error };
    let bytes = fs::read(path).map_err(io)?;
    let mut text = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(&bytes[..]).read_to_end(&mut text).map_err(io)?;
    } else {
        text = bytes;
    }
    serde_json::from_slice(&text).map_err(|error| Error::Format { path: path.to_owned(), error })
}
