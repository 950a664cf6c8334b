//! What was written where: environment, flags and file are brought together before anything is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::mistake::{Mistake, Origin, name_at, printable, quoted};
use super::nearest::{nearest, one_edit_away};
use super::settings::{SETTINGS, Setting};
use super::toml_file;

/// The most bytes a value may have.
pub const VALUE_LIMIT: usize = 8 * 1024;

/// Everything the configuration is made from. Nothing else is read.
pub struct Sources<'a> {
    /// The environment, names and values.
    pub env: Vec<(String, String)>,
    /// The flags, names without their dashes and values; a switch without a value has `true`.
    pub flags: Vec<(String, String)>,
    /// The configuration file and its text; see [`config_file`].
    pub file: Option<(PathBuf, String)>,
    /// Reads the file behind a `…_FILE` setting.
    pub read_secret_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Whether the process runs in a container.
    pub in_container: bool,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// Whether the log goes to a terminal.
    pub on_terminal: bool,
}

/// The configuration file that flags or environment name, to be read before [`super::Config::resolve`].
pub fn config_file(env: &[(String, String)], flags: &[(String, String)]) -> Option<PathBuf> {
    let find = |pairs: &[(String, String)], name: &str| {
        pairs
            .iter()
            .find(|(n, value)| n == name && !value.trim().is_empty())
            .map(|(_, value)| value.trim().into())
    };
    find(flags, "config").or_else(|| find(env, "KERNEL_CONFIG"))
}

/// The setting that a flag (without dashes) sets, for the command line's own parser and help.
pub fn setting_of_flag(flag: &str) -> Option<&'static Setting> {
    by_name(flag, |setting| Some(setting.flag()), "-file").map(|(setting, _)| setting)
}

/// One value as it was written. Not `Debug`: it may be a secret.
pub(super) struct Written {
    pub text: String,
    pub origin: Origin,
    /// The file that the text was read from, for a `…_FILE`.
    pub secret_file: Option<PathBuf>,
}

/// What was written, by setting; what was wrong about the names; what is worth a line.
#[derive(Default)]
pub(super) struct Gathered {
    pub values: BTreeMap<&'static str, Written>,
    /// What was set, but in a way that gives no text to read; the mistake is told already.
    pub spoiled: BTreeMap<&'static str, Origin>,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<String>,
}

/// Values by setting and whether they name a file.
type Layer = BTreeMap<(&'static str, bool), Written>;

pub(super) fn gather(sources: &Sources<'_>) -> Gathered {
    let mut gathered = Gathered::default();
    let mut written = Layer::new();
    if let Some((path, text)) = &sources.file {
        written.extend(gathered.read_file(path, text));
    }
    written.extend(gathered.read_env(&sources.env));
    written.extend(gathered.read_flags(&sources.flags));
    for setting in SETTINGS {
        let direct = written.remove(&(setting.name, false));
        let by_file = written.remove(&(setting.name, true));
        let value = match (direct, by_file) {
            (Some(direct), Some(by_file)) => {
                let other = name_at(setting, &by_file.origin, true);
                let text = format!("{other} ({}) is set too; keep one of the two", by_file.origin);
                let name = name_at(setting, &direct.origin, false);
                gathered.spoiled.insert(setting.name, direct.origin.clone());
                gathered.mistakes.push(Mistake::new(name, Some(direct.origin), text));
                continue;
            }
            (None, Some(by_file)) if setting.available => gathered.secret(setting, by_file, sources),
            (direct, by_file) => direct.or(by_file.map(|by_file| {
                let secret_file = Some(PathBuf::from(&by_file.text));
                Written { secret_file, ..by_file }
            })),
        };
        if let Some(value) = value {
            gathered.values.insert(setting.name, value);
        }
    }
    gathered
}

impl Gathered {
    fn read_env(&mut self, env: &[(String, String)]) -> Layer {
        let mut layer = Layer::new();
        let mut injected = Vec::new();
        for (name, value) in env {
            // Compose files pass unset variables on as empty ones.
            if value.trim().is_empty() {
                continue;
            }
            let known = by_name(name, |s| (!s.flag_only).then(|| s.name.to_owned()), "_FILE");
            if is_service_link(name, value) && (known.is_some() || has_our_prefix(name)) {
                injected.push(name.as_str());
            } else if let Some((setting, from_file)) = known {
                let written = Written { text: value.clone(), origin: Origin::Environment, secret_file: None };
                layer.insert((setting.name, from_file), written);
            } else if name.starts_with("KERNEL_") && !is_service_detail(name) {
                self.unknown_env(name);
            }
        }
        if !injected.is_empty() {
            injected.sort_unstable();
            self.warnings.push(format!(
                "{} ignored: Kubernetes sets it for a Service of that name (enableServiceLinks: false stops that)",
                injected.join(", ")
            ));
        }
        layer
    }

    fn unknown_env(&mut self, name: &str) {
        if let Some(meant) = one_edit_away(name) {
            let text = format!("no such setting; did you mean {meant}?");
            self.mistakes.push(Mistake::new(name, Some(Origin::Environment), text));
            return;
        }
        let shown = printable(name);
        let hint = match nearest(name) {
            Some(meant) if meant.flag_only => format!(" (did you mean the flag --{}?)", meant.flag()),
            Some(meant) => format!(" (did you mean {}?)", meant.name),
            None => String::new(),
        };
        self.warnings
            .push(format!("{shown} in the environment is no setting of this version and is ignored{hint}"));
    }

    fn read_flags(&mut self, flags: &[(String, String)]) -> Layer {
        let mut layer = Layer::new();
        let mut twice = BTreeSet::new();
        for (flag, value) in flags {
            let written = format!("--{flag}");
            let Some((setting, from_file)) = by_name(flag, |setting| Some(setting.flag()), "-file") else {
                let hint = nearest(flag).map(|meant| format!("; did you mean --{}?", meant.flag()));
                let text = format!("no such flag{}", hint.unwrap_or_default());
                self.mistakes.push(Mistake::new(written, Some(Origin::Flag), text));
                continue;
            };
            let value = Written { text: value.clone(), origin: Origin::Flag, secret_file: None };
            if layer.insert((setting.name, from_file), value).is_some() && twice.insert(flag) {
                self.mistakes.push(Mistake::new(written, Some(Origin::Flag), "given twice; keep one"));
            }
        }
        layer
    }

    fn read_file(&mut self, path: &Path, text: &str) -> Layer {
        let mut layer = Layer::new();
        let origin = |line| Origin::File { path: path.to_owned(), line };
        for entry in toml_file::entries(text) {
            let origin = origin(entry.line);
            let known = by_name(&entry.key, |s| (!s.outside_file).then(|| s.key()), "_file");
            let problem = match (known, entry.value) {
                (_, Err(toml_file::Fault::Syntax(message))) => message,
                (Some((setting, from_file)), Ok(value)) if !value.is_list || setting.kind.is_list() => {
                    let written = Written { text: value.text, origin, secret_file: None };
                    layer.insert((setting.name, from_file), written);
                    continue;
                }
                (Some((setting, _)), value) => {
                    self.spoiled.insert(setting.name, origin.clone());
                    let found = value.err().map_or("a list", toml_file::Fault::found);
                    format!("{found} is not {}; {}", setting.shape, example_at(setting, &origin))
                }
                (None, _) => match nearest(&entry.key) {
                    Some(meant) if meant.outside_file => {
                        format!("this cannot be set in a file; use the flag --{}", meant.flag())
                    }
                    Some(meant) => format!("no such key; did you mean {}?", meant.key()),
                    None => "no such key".to_owned(),
                },
            };
            self.mistakes.push(Mistake::new(entry.key, Some(origin), problem));
        }
        layer
    }

    /// Reads the file that a `…_FILE` names. The newline at its end is the editor's, not the secret's.
    fn secret(
        &mut self,
        setting: &'static Setting,
        by_file: Written,
        sources: &Sources<'_>,
    ) -> Option<Written> {
        let mut path = PathBuf::from(by_file.text.trim());
        if let Origin::File { path: file, .. } = &by_file.origin
            && let Some(folder) = file.parent()
        {
            path = folder.join(path);
        }
        let problem = match (sources.read_secret_file)(&path) {
            Err(error) => format!("cannot read {}: {error}", quoted(&path.to_string_lossy())),
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']);
                if !text.is_empty() {
                    let (text, origin) = (text.to_owned(), by_file.origin);
                    return Some(Written { text, origin, secret_file: Some(path) });
                }
                format!("{} is empty", quoted(&path.to_string_lossy()))
            }
        };
        self.spoiled.insert(setting.name, by_file.origin.clone());
        self.mistakes.push(Mistake::new(
            name_at(setting, &by_file.origin, true),
            Some(by_file.origin),
            format!("{problem}; name a file that holds nothing but the secret"),
        ));
        None
    }
}

/// The setting of that name, and whether the name is its `…_FILE` form.
fn by_name(
    name: &str,
    spelled: impl Fn(&Setting) -> Option<String>,
    suffix: &str,
) -> Option<(&'static Setting, bool)> {
    SETTINGS.iter().find_map(|setting| {
        let own = spelled(setting)?;
        if own == name {
            return Some((setting, false));
        }
        let names_file = setting.secret && name.strip_suffix(suffix) == Some(own.as_str());
        names_file.then_some((setting, true))
    })
}

/// "for example GATEWAY_PORT=8080", as one writes it at that place.
pub(super) fn example_at(setting: &Setting, origin: &Origin) -> String {
    let name = name_at(setting, origin, setting.secret);
    let example = setting.example;
    match origin {
        Origin::Flag if example.contains(' ') => format!("for example {name} {example:?}"),
        Origin::Flag => format!("for example {name} {example}"),
        Origin::File { .. } => format!("for example {name} = {}", toml_file::literal(setting, example)),
        Origin::Default | Origin::Environment if setting.flag_only => format!("for example {name} {example}"),
        Origin::Default | Origin::Environment => format!("for example {name}={example}"),
    }
}

/// `GATEWAY_PORT=tcp://10.0.0.1:80`: what Kubernetes sets for a Service called gateway.
fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTPS`, `…_PORT_8443_TCP_ADDR`: the rest of what it sets.
fn is_service_detail(name: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    name.rsplit_once("_PORT_").is_some_and(|(_, tail)| {
        let mut parts = tail.split('_');
        let number = parts.next().is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        number && parts.next().is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
    })
}

/// Whether a name begins like one of ours (`KAFKA_PORT` beside `KAFKA_BROKERS`), so that a line helps.
fn has_our_prefix(name: &str) -> bool {
    let first = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    SETTINGS.iter().any(|setting| first(setting.name) == first(name))
}
