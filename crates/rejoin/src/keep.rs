//! Whole copies of a database file under a name that nothing else has.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::{NamedTempFile, TempPath};

use crate::cancel::Cancel;
use crate::file_error::{Doing, FileError};
use crate::track::BUSY_TIMEOUT;

/// Copies the last committed state of the database at `path` beside it, as `NAME.before-track`, or with a number where
/// that name is taken. Gives the copy's path.
///
/// # Errors
/// When the copy cannot be made; none is left behind then.
pub(crate) fn keep_copy(path: &Path, cancel: &Cancel) -> Result<PathBuf, FileError> {
    let mut copy = copy_beside(path, path, cancel)?;
    let mut number = 1_u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 1 { ".before-track".to_owned() } else { format!(".before-track-{number}") });
        let kept = PathBuf::from(name);
        match copy.persist_noclobber(&kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                copy = error.path;
                number += 1;
            }
            Err(error) => return Err(error.error).doing(|| format!("keep a copy as {}", kept.display())),
        }
    }
}

/// Copies the last committed state of the database at `source`, page by page, to a new file in the folder of `target`,
/// which is deleted again when dropped.
///
/// # Errors
/// When the copy cannot be made; none is left behind then.
pub(crate) fn copy_beside(source: &Path, target: &Path, cancel: &Cancel) -> Result<TempPath, FileError> {
    let doing = || format!("copy {}", source.display());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let copy = NamedTempFile::with_prefix_in(".rejoin-copy-", folder).doing(doing)?.into_temp_path();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(source, flags).doing(doing)?;
    cancel.watch(&from);
    from.busy_timeout(BUSY_TIMEOUT).doing(doing)?;
    // One state for all steps, whoever writes meanwhile.
    from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").doing(doing)?;
    let mut to = Connection::open(&copy).doing(doing)?;
    {
        let backup = Backup::new(&from, &mut to).doing(doing)?;
        loop {
            if cancel.is_cancelled() {
                return Err(FileError::Refused("stopped".to_owned()));
            }
            match backup.step(PAGES_PER_STEP).doing(doing)? {
                StepResult::Done => break,
                StepResult::More => {}
                // The busy timeout has passed already for each of these.
                _ => return Err(FileError::Refused(format!("failed to {}: another program holds the file", doing()))),
            }
        }
    }
    to.close().map_err(|(_, error)| error).doing(doing)?;
    let permissions = std::fs::metadata(source).doing(doing)?.permissions();
    std::fs::set_permissions(&copy, permissions).doing(doing)?;
    std::fs::File::open(&copy).and_then(|file| file.sync_all()).doing(doing)?;
    Ok(copy)
}

/// Pages between two looks at whether to stop.
const PAGES_PER_STEP: i32 = 4096;
