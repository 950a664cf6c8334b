//! Pure rules: what fits together, which migrations are new, what a module key looks like.

use std::collections::{BTreeMap, BTreeSet};

use fabric::crypto::sha256;
use kernel::{Error, FieldCode, FieldError, Secret, Slug};
use ports::{BackendRoute, ModelRules, ModuleBackend, ModuleInfo};
use semver::Version;

use crate::{
    manifest::{self, DEFAULT_TIMEOUT_MS, Manifest},
    sql::{Checked, Migration, TableModel, Violation},
};

/// A registered module, as far as dependencies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Full name.
    pub name: String,
    /// Registered version.
    pub version: String,
    /// What it needs: full name and range.
    pub dependencies: BTreeMap<String, String>,
}

/// Whether `candidate` can stand beside the registered modules (itself, in an older version, among them): everything it
/// needs is there in a version that fits, nobody who needs it is left with one that doesn't, and nothing needs itself in
/// a circle.
///
/// # Errors
/// `conflict` with the chain of names.
pub fn resolve(candidate: &Manifest, registered: &[Neighbour]) -> Result<(), Error> {
    let others: BTreeMap<&str, &Neighbour> =
        registered.iter().filter(|n| n.name != candidate.name).map(|n| (n.name.as_str(), n)).collect();
    for (needed, range) in &candidate.dependencies {
        match others.get(needed.as_str()) {
            None => {
                return Err(clash(format!(
                    "{} → {needed} {range}: {needed} is not registered. Register it first.",
                    candidate.name
                )));
            }
            Some(there) if !fits(range, &there.version) => {
                return Err(clash(format!(
                    "{} → {needed} {range}: registered is {}. Update {needed}, or widen the range.",
                    candidate.name, there.version
                )));
            }
            Some(_) => {}
        }
    }
    for other in others.values() {
        if let Some(range) = other.dependencies.get(&candidate.name)
            && !fits(range, &candidate.version)
        {
            return Err(clash(format!(
                "{} → {} {range}: this would be {}. Update {} first, or keep to its range.",
                other.name, candidate.name, candidate.version, other.name
            )));
        }
    }
    match circle(candidate, &others) {
        Some(chain) => {
            Err(clash(format!("{}: these modules need each other in a circle.", chain.join(" → "))))
        }
        None => Ok(()),
    }
}

fn clash(detail: String) -> Error {
    Error::new(Slug::Conflict, detail)
}

fn fits(range: &str, version: &str) -> bool {
    manifest::range(range)
        .zip(Version::parse(version).ok())
        .is_some_and(|(range, version)| range.matches(&version))
}

/// The way from the candidate back to itself, if there is one. Each module is visited once.
fn circle(candidate: &Manifest, others: &BTreeMap<&str, &Neighbour>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut ways: Vec<Vec<String>> =
        candidate.dependencies.keys().map(|needed| vec![candidate.name.clone(), needed.clone()]).collect();
    while let Some(way) = ways.pop() {
        let last = way.last()?.clone();
        if last == candidate.name {
            return Some(way);
        }
        if !seen.insert(last.clone()) {
            continue;
        }
        let next = others.get(last.as_str()).map(|module| module.dependencies.keys()).into_iter().flatten();
        ways.extend(next.map(|needed| way.iter().cloned().chain([needed.clone()]).collect()));
    }
    None
}

/// Those among `registered` that need the module `name`.
pub fn dependents<'a>(name: &str, registered: &'a [Neighbour]) -> Vec<&'a str> {
    registered.iter().filter(|n| n.dependencies.contains_key(name)).map(|n| n.name.as_str()).collect()
}

/// Whether an update may go from `present` to `next`: never back.
pub fn goes_forward(present: &str, next: &str) -> bool {
    Version::parse(present).ok().zip(Version::parse(next).ok()).is_none_or(|(present, next)| next >= present)
}

/// A migration that a module's schema holds already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The number in its file name.
    pub number: i64,
    /// Its file.
    pub file: String,
    /// SHA-256 of the file.
    pub hash: Vec<u8>,
}

/// SHA-256 of a migration file.
pub fn hash_of_file(sql: &str) -> [u8; 32] {
    sha256(&[sql.as_bytes()])
}

/// The migrations that have not been run, by number.
///
/// # Errors
/// `module-rejected`: what has been run must be there unchanged, and what is new comes after it.
pub fn new_migrations<'a>(
    applied: &[Applied],
    files: &[(String, String)],
    checked: &'a Checked,
) -> Result<Vec<&'a Migration>, Error> {
    let mut faults = Vec::new();
    let mut fault = |file: &str, message: String| {
        faults.push(FieldError::new(file, FieldCode::NotAllowed, message));
    };
    for done in applied {
        let same = checked.migrations.iter().find(|migration| migration.version == done.number);
        let content = same.and_then(|m| files.iter().find(|(file, _)| *file == m.file));
        match content {
            None => fault(
                &done.file,
                "was run for an earlier version and is missing now: put it back, and undo it by a new migration".to_owned(),
            ),
            Some((file, sql)) if hash_of_file(sql)[..] != done.hash[..] => fault(
                file,
                "was changed after it was run: put it back as it was, and write a new migration for the change".to_owned(),
            ),
            Some(_) => {}
        }
    }
    let newest = applied.iter().map(|done| done.number).max().unwrap_or(0);
    let mut fresh = Vec::new();
    for migration in &checked.migrations {
        if applied.iter().any(|done| done.number == migration.version) {
            continue;
        }
        if migration.version < newest {
            fault(
                &migration.file,
                format!(
                    "is new but comes before migration {newest}, which was run: give it a number above {newest}"
                ),
            );
        }
        fresh.push(migration);
    }
    if faults.is_empty() { Ok(fresh) } else { Err(rejected(faults)) }
}

/// Whether every model of the data API is a table, and every column it names is in it.
///
/// # Errors
/// `module-rejected` with pointers into the manifest.
pub fn models_are_tables(manifest: &Manifest, tables: &[TableModel]) -> Result<(), Error> {
    const AUTOMATIC: [&str; 4] = ["created_at", "updated_at", "deleted_at", "version"];
    let mut faults = Vec::new();
    for (index, model) in manifest.data_api.models.iter().enumerate() {
        let at = format!("/manifest/dataApi/models/{index}");
        let Some(table) = tables.iter().find(|table| table.name == model.name) else {
            let message = format!("there is no table {} after all migrations", model.name);
            faults.push(FieldError::new(format!("{at}/name"), FieldCode::NotAllowed, message));
            continue;
        };
        for (list, columns) in [("hidden", &model.hidden), ("readOnly", &model.read_only)] {
            for (place, column) in columns.iter().enumerate() {
                let there =
                    AUTOMATIC.contains(&column.as_str()) || table.columns.iter().any(|c| c.name == *column);
                if !there {
                    let message = format!("the table {} has no column {column}", model.name);
                    faults.push(FieldError::new(
                        format!("{at}/{list}/{place}"),
                        FieldCode::NotAllowed,
                        message,
                    ));
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(rejected(faults)) }
}

/// The module is refused, for these reasons.
pub fn rejected(faults: Vec<FieldError>) -> Error {
    let detail = match faults.as_slice() {
        [one] => format!("{}: {}", one.field, one.message),
        [one, rest @ ..] => format!("{}: {} (and {} more)", one.field, one.message, rest.len()),
        [] => "The module breaks a rule.".to_owned(),
    };
    Error::new(Slug::ModuleRejected, "The module was refused; nothing was changed.")
        .for_author(detail)
        .with_fields(faults)
}

/// Violations of the SQL rules as field errors, `file:line`.
pub fn violations(found: Vec<Violation>) -> Error {
    let faults = found.into_iter().map(|v| {
        let place = match (v.file.as_str(), v.line) {
            ("", _) => "migrations".to_owned(),
            (file, 0) => file.to_owned(),
            (file, line) => format!("{file}:{line}"),
        };
        FieldError::new(place, FieldCode::NotAllowed, format!("{} [{}]. {}.", v.message, v.rule, v.fix))
    });
    rejected(faults.collect())
}

/// A module as others see it.
pub fn info(manifest: &Manifest, backend_url: Option<&str>, revision: i64) -> Option<ModuleInfo> {
    let backend = manifest.backend.as_ref().map(|backend| ModuleBackend {
        url: backend_url.unwrap_or(&backend.url).to_owned(),
        health_check: backend.health_check.clone(),
        timeout_ms: backend.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
        routes: backend
            .routes
            .iter()
            .map(|route| BackendRoute {
                method: route.method.clone(),
                path: route.path.clone(),
                permission: route.permission.clone(),
            })
            .collect(),
    });
    let models = manifest.data_api.models.iter().filter(|model| model.auto_api).map(|model| {
        (model.name.clone(), ModelRules { hidden: model.hidden.clone(), read_only: model.read_only.clone() })
    });
    Some(ModuleInfo {
        slug: manifest::slug_of(&manifest.name).ok()?,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        backend,
        models: models.collect(),
        permissions: manifest.permissions.clone(),
        publishes: manifest.events.publishes.clone(),
        subscribes: manifest.events.subscribes.clone(),
        revision,
    })
}

/// The text of a module key: `mk_{prefix}_{secret}`. The prefix finds it, the SHA-256 of the whole proves it.
pub struct KeyText {
    /// 12 characters that may be shown.
    pub prefix: String,
    /// All of it.
    pub text: Secret,
}

impl KeyText {
    /// A key from bytes that nobody can guess.
    pub fn new(prefix: [u8; 6], secret: [u8; 32]) -> Self {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let prefix = prefix.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let text = Secret::new(format!("mk_{prefix}_{}", URL_SAFE_NO_PAD.encode(secret)));
        Self { prefix, text }
    }

    /// Reads what somebody sent; `None` when it is no module key.
    pub fn parse(text: &Secret) -> Option<Self> {
        let (prefix, secret) = text.expose().strip_prefix("mk_")?.split_once('_')?;
        let fits = prefix.len() == 12
            && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && secret.len() == 43
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        fits.then(|| Self { prefix: prefix.to_owned(), text: text.clone() })
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[self.text.expose().as_bytes()])
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
