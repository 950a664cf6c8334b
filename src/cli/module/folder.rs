//! A module on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::failure::Failure;

const MANIFEST: &str = "module.manifest.json";
const MIGRATIONS: &str = "migrations";
/// Larger files are not read: the gateway takes a megabyte of all of them together.
const FILE_LIMIT: u64 = 1024 * 1024;

/// What a folder holds.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    manifest_text: String,
    manifest: Value,
    /// File names and their content, in the order of names.
    migrations: Vec<(String, String)>,
}

impl Folder {
    /// Reads manifest and migrations.
    ///
    /// # Errors
    /// Something is missing or not what it should be; named with file and line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let file = path.join(MANIFEST);
        let manifest_text = match text(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let hint = if path.exists() {
                    "it is not a module's folder, or the manifest is still to be written"
                } else {
                    "there is no such folder"
                };
                return Err(Failure::new(format!(
                    "{} is missing: {hint}. A complete one to start from:\n  platform-kernel example crm --export ./my-crm",
                    file.display()
                )));
            }
            read => read.map_err(|error| unreadable(&file, &error))?,
        };
        let manifest: Value = serde_json::from_str(&manifest_text).map_err(|error| {
            Failure::new(format!("{}:{}: not JSON: {error}", file.display(), error.line()))
        })?;
        let mut migrations = Vec::new();
        let folder = path.join(MIGRATIONS);
        match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(|error| unreadable(&folder, &error))? {
                    let entry = entry.map_err(|error| unreadable(&folder, &error))?;
                    let Ok(name) = entry.file_name().into_string() else { continue };
                    if name.ends_with(".sql") && !name.starts_with('.') {
                        let sql = text(&entry.path()).map_err(|error| unreadable(&entry.path(), &error))?;
                        migrations.push((name, sql));
                    }
                }
            }
        }
        migrations.sort();
        Ok(Self { path: path.to_owned(), manifest_text, manifest, migrations })
    }

    /// As it is sent.
    pub fn body(&self, backend_url: Option<&str>) -> Value {
        let migrations: Vec<Value> =
            self.migrations.iter().map(|(file, sql)| json!({ "file": file, "sql": sql })).collect();
        let mut body = json!({ "manifest": self.manifest, "migrations": migrations });
        if let Some(url) = backend_url {
            body["backendUrl"] = url.into();
        }
        body
    }

    /// The module's short name: `@example/crm` is `crm`. Only letters that an address may hold.
    pub fn slug(&self) -> String {
        let name = self.manifest["name"].as_str().unwrap_or_default();
        let short = name.rsplit('/').next().unwrap_or_default();
        short.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect()
    }

    /// Where on disk a mistake is: `field` is `file.sql:12` or a JSON pointer into what was sent.
    pub fn place(&self, field: &str) -> String {
        let manifest = self.path.join(MANIFEST);
        if let Some(pointer) = field.strip_prefix("/manifest") {
            let members: Vec<&str> = pointer.split('/').filter(|member| !member.is_empty()).collect();
            let line = line_of(&self.manifest_text, &members);
            return format!("{}:{line}: {}", manifest.display(), members.join("."))
                .trim_end_matches(": ")
                .to_owned();
        }
        let file = field.split(':').next().unwrap_or_default();
        if self.migrations.iter().any(|(name, _)| name == file) || file.ends_with(".sql") {
            return self.path.join(MIGRATIONS).join(field).display().to_string();
        }
        field.to_owned()
    }
}

/// The line of a member, counted from 1: found by its keys one after the other, which is right where people write
/// manifests and never worse than the line of the part around it.
fn line_of(text: &str, members: &[&str]) -> usize {
    let mut at = 0;
    for member in members {
        // Entries of a list have no key to look for.
        if member.parse::<usize>().is_ok() {
            continue;
        }
        let key = format!("\"{member}\"");
        match text[at..].find(&key) {
            Some(found) => at += found,
            None => break,
        }
    }
    text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

fn text(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > FILE_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has {length} bytes, at most {FILE_LIMIT} are read"),
        ));
    }
    fs::read_to_string(path)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(manifest: &str, migrations: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        fs::create_dir(folder.path().join(MIGRATIONS)).unwrap();
        for (name, sql) in migrations {
            fs::write(folder.path().join(MIGRATIONS).join(name), sql).unwrap();
        }
        folder
    }

    #[test]
    fn migrations_are_sent_in_the_order_of_their_names() {
        let folder = module(
            r#"{"name":"@a/my_crm"}"#,
            &[("00002_b.sql", "b"), ("00001_a.sql", "a"), ("notes.txt", "")],
        );
        let read = Folder::read(folder.path()).unwrap();
        assert_eq!(read.slug(), "my_crm");
        let body = read.body(Some("http://127.0.0.1:9"));
        assert_eq!(
            body["migrations"],
            json!([{"file": "00001_a.sql", "sql": "a"}, {"file": "00002_b.sql", "sql": "b"}])
        );
        assert_eq!(body["backendUrl"], "http://127.0.0.1:9");
    }

    #[test]
    fn a_missing_folder_and_a_broken_manifest_are_sentences() {
        let told = Folder::read(Path::new("/nowhere")).unwrap_err();
        assert!(told.sentence().contains("there is no such folder"), "{told:?}");
        let broken = module("{\n\"name\":\n}", &[]);
        let told = Folder::read(broken.path()).unwrap_err();
        assert!(told.sentence().contains("module.manifest.json:3: not JSON"), "{told:?}");
    }

    #[test]
    fn a_field_is_found_in_the_manifest() {
        let text = "{\n  \"name\": \"x\",\n  \"backend\": {\n    \"url\": \"y\"\n  }\n}";
        assert_eq!(line_of(text, &["backend", "url"]), 4);
        assert_eq!(line_of(text, &["backend", "0", "missing"]), 3);
        assert_eq!(line_of(text, &[]), 1);
    }
}
