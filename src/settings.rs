//! The configuration of this process: gathers the sources and has them resolved.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use kernel::config::{Config, Mistake, Resolved, SETTINGS, Sources, config_file};

use crate::failure::Failure;

/// Flags of settings, names without dashes, as the command line had them.
pub type Flags = Vec<(String, String)>;

/// Brings flags, environment, file and defaults together.
///
/// # Errors
/// All mistakes at once, a line each; exit code 2.
pub fn resolve(flags: Flags) -> Result<Resolved, Failure> {
    let env = environment()?;
    let file = match config_file(&env, &flags) {
        None => None,
        Some(path) => match fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) => {
                return Err(Failure::usage(format!(
                    "cannot read the configuration file {}: {error}; name another with --config or KERNEL_CONFIG, or \
                     leave both out",
                    path.display()
                )));
            }
        },
    };
    let sources = Sources {
        env,
        flags,
        file,
        read_secret_file: &|path: &Path| fs::read_to_string(path),
        home: home(),
        in_container: in_container(),
        is_root: rustix::process::geteuid().is_root(),
        on_terminal: std::io::stderr().is_terminal(),
    };
    let mut resolved = Config::resolve(sources).map_err(|mistakes| Failure::usage(told(&mistakes)))?;
    // A relative folder means the one of this start, whatever is done later.
    if let Ok(absolute) = std::path::absolute(&resolved.config.data_dir) {
        resolved.config.data_dir = absolute;
    }
    Ok(resolved)
}

/// What the configuration says of a flag that it does not know: "no such flag; did you mean …".
pub fn about_unknown_flag(flag: &str) -> Option<String> {
    let sources = Sources {
        env: Vec::new(),
        flags: vec![(flag.to_owned(), String::new())],
        file: None,
        read_secret_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        home: Some(PathBuf::from("/")),
        in_container: false,
        is_root: false,
        on_terminal: false,
    };
    let mistakes = Config::resolve(sources).err()?;
    mistakes.first().map(|mistake| format!("{}: {}", mistake.name(), sentence_of(mistake)))
}

/// The sentence behind the name; where it was written is known.
fn sentence_of(mistake: &Mistake) -> String {
    let whole = mistake.to_string();
    whole.split_once(": ").map_or(whole.clone(), |(_, sentence)| sentence.to_owned())
}

fn told(mistakes: &[Mistake]) -> String {
    match mistakes {
        [only] => only.to_string(),
        many => {
            let lines: Vec<String> = many.iter().map(|mistake| format!("  {mistake}")).collect();
            format!("the configuration has {} mistakes:\n{}", many.len(), lines.join("\n"))
        }
    }
}

/// The environment as text. Other bytes are only a mistake in a name of ours.
fn environment() -> Result<Vec<(String, String)>, Failure> {
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => env.push((name, value)),
            Err(_) if SETTINGS.iter().any(|setting| setting.name == name) => {
                return Err(Failure::usage(format!(
                    "{name} (environment): its value is not UTF-8; write it with other characters"
                )));
            }
            Err(_) => {}
        }
    }
    Ok(env)
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// Docker and podman leave a file, Kubernetes a variable; elsewhere nothing but a container is process 1.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists()
        || Path::new("/run/.containerenv").exists()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || std::process::id() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_flag_is_answered_with_the_one_that_was_meant() {
        assert_eq!(
            about_unknown_flag("dta-dir").as_deref(),
            Some("--dta-dir: no such flag; did you mean --data-dir?")
        );
        assert_eq!(about_unknown_flag("zzzzzzzzzzzz").as_deref(), Some("--zzzzzzzzzzzz: no such flag"));
    }

    #[test]
    fn a_configuration_file_that_is_not_there_is_a_sentence() {
        let failure = resolve(vec![("config".into(), "/nowhere/kernel.toml".into())]).unwrap_err();
        assert!(failure.sentence().contains("cannot read the configuration file /nowhere/kernel.toml"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let flags = vec![("gateway-port".into(), "many".into()), ("durability".into(), "iron".into())];
        let failure = resolve(flags).unwrap_err();
        assert!(failure.sentence().starts_with("the configuration has 2 mistakes:"), "{failure:?}");
        assert!(failure.sentence().contains("--gateway-port (flag)"));
        assert!(failure.sentence().contains("--durability (flag)"));
    }
}
