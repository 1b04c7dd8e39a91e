//! Schema files: the SQL text that clients and rooms are made with, known by its name and the version of its text.

use rejoin_wire::limits::SQL_BYTES_MAX;
use rejoin_wire::message::{Refusal, RefusalCode};
use rejoin_wire::vlcn::schema_version;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A folder of schema files, or none. `NAME` is the newest version of the schema NAME; earlier ones may lie in the folder
/// `NAME.earlier`, under any names, so that clients that have not been updated may still come in. Read at every
/// announcement: a file that is put there counts at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schemas {
    folder: Option<PathBuf>,
}

/// The text of one version of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A version that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) schema: SchemaText,
    /// It is the newest one.
    pub(crate) is_current: bool,
}

impl Schemas {
    pub(crate) fn in_folder(folder: PathBuf) -> Schemas {
        Schemas { folder: Some(folder) }
    }

    /// The version of a schema that has this number.
    pub(crate) fn find(&self, name: &str, version: i64) -> Result<Option<Found>, Refusal> {
        let Some(current) = self.current(name)? else { return Ok(None) };
        if schema_version(&current.text) == version {
            return Ok(Some(Found { schema: current, is_current: true }));
        }
        for schema in self.earlier(name)? {
            if schema_version(&schema.text) == version {
                return Ok(Some(Found { schema, is_current: false }));
            }
        }
        Ok(None)
    }

    /// The newest version of a schema.
    pub(crate) fn current(&self, name: &str) -> Result<Option<SchemaText>, Refusal> {
        let Some(folder) = self.folder.as_ref().filter(|_| is_file_name(name)) else { return Ok(None) };
        let text = read(&folder.join(name))?;
        Ok(text.map(|text| SchemaText { name: name.to_owned(), text }))
    }

    fn earlier(&self, name: &str) -> Result<Vec<SchemaText>, Refusal> {
        let Some(folder) = self.folder.as_ref().filter(|_| is_file_name(name)) else { return Ok(Vec::new()) };
        let folder = folder.join(format!("{name}.earlier"));
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        let mut found = Vec::new();
        for entry in entries.take(EARLIER_MAX) {
            let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
            if let Some(text) = read(&path)? {
                found.push(SchemaText { name: name.to_owned(), text });
            }
        }
        Ok(found)
    }
}

impl SchemaText {
    /// Reads a schema file; its name is the schema's.
    pub(crate) fn from_file(path: &Path) -> Result<SchemaText, String> {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_file_name(name));
        let name = name.ok_or_else(|| format!("{} does not name a schema file", path.display()))?;
        match read(path) {
            Ok(Some(text)) => Ok(SchemaText { name: name.to_owned(), text }),
            Ok(None) => Err(format!("there is no schema file {}", path.display())),
            Err(refusal) => Err(refusal.reason),
        }
    }
}

/// True for a name of which no path to another folder can be made.
fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.contains(['/', '\\', '\0']) && !name.contains("..") && name != "."
}

/// The text of a file; none where there is no such file.
fn read(path: &Path) -> Result<Option<String>, Refusal> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    if !file.metadata().map_err(|error| unreadable(path, &error))?.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    file.take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    if text.len() > SQL_BYTES_MAX {
        let error = std::io::Error::other(format!("it has more than {SQL_BYTES_MAX} bytes"));
        return Err(unreadable(path, &error));
    }
    Ok(Some(text))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal {
        code: RefusalCode::Store,
        reason: format!("the schema file {} cannot be read: {error}", path.display()),
        advice: "repair the file on the server".to_owned(),
    }
}

/// Earlier versions that are looked at.
const EARLIER_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_by_the_number_of_their_text() {
        let folder = tempfile::tempdir().unwrap();
        let schemas = Schemas::in_folder(folder.path().to_owned());
        assert_eq!(schemas.find("main.sql", 1).unwrap(), None);
        std::fs::write(folder.path().join("main.sql"), "newest").unwrap();
        std::fs::create_dir(folder.path().join("main.sql.earlier")).unwrap();
        std::fs::write(folder.path().join("main.sql.earlier/1"), "older").unwrap();
        let found = |text: &str| schemas.find("main.sql", schema_version(text)).unwrap();
        assert!(found("newest").unwrap().is_current);
        assert!(!found("older").unwrap().is_current);
        assert_eq!(found("unknown"), None);
        assert_eq!(schemas.current("main.sql").unwrap().unwrap().text, "newest");
        std::fs::write(folder.path().join("binary.sql"), b"\xff").unwrap();
        assert!(schemas.find("binary.sql", 1).is_err());
    }

    #[test]
    fn no_path_can_be_made_of_a_schema_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("schemas")).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let schemas = Schemas::in_folder(folder.path().join("schemas"));
        for name in ["../secret", "..", ".", "", "a/b", "a\\b", "a\0b", &"x".repeat(256)] {
            assert_eq!(schemas.find(name, schema_version("secret")).unwrap(), None, "{name}");
        }
    }
}
