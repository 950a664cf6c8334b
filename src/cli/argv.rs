//! The command line has two owners: verbs and their options belong to clap, settings to the one table of settings. This
//! takes the settings out before clap looks.

use std::ffi::OsString;

use clap::Command;
use kernel::config::{Kind, setting_of_flag};

use crate::failure::Failure;
use crate::settings::Flags;

/// A command line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Split {
    /// For clap: the program's name, verbs, options.
    pub verbs: Vec<OsString>,
    /// Settings, names without dashes.
    pub settings: Flags,
}

/// Takes `--data-dir X`, `--data-dir=X` and switches such as `--demo-on-network` out, wherever they stand. An option of
/// the verb goes before a setting of the same name: `sandbox create --template` is the verb's.
///
/// # Errors
/// A setting without its value, or with one that is not UTF-8.
pub fn split(root: &Command, args: impl IntoIterator<Item = OsString>) -> Result<Split, Failure> {
    let mut args = args.into_iter().peekable();
    let mut split = Split { verbs: args.next().into_iter().collect(), settings: Vec::new() };
    let mut command = root;
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str() else {
            if arg.to_string_lossy().starts_with("--") {
                let shown = arg.to_string_lossy().into_owned();
                return Err(Failure::usage(format!(
                    "{shown:?} is not UTF-8; write it with other characters"
                )));
            }
            split.verbs.push(arg);
            continue;
        };
        if text == "--" {
            split.verbs.push(arg);
            split.verbs.extend(args);
            break;
        }
        let Some(flag) = text.strip_prefix("--") else {
            if let Some(verb) = command.find_subcommand(text) {
                command = verb;
            }
            split.verbs.push(arg);
            continue;
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let own = [command, root].into_iter().flat_map(Command::get_arguments);
        if let Some(option) = own.into_iter().find(|option| option.get_long() == Some(name)) {
            let takes_next = option.get_action().takes_values() && inline.is_none();
            split.verbs.push(arg);
            if takes_next {
                split.verbs.extend(args.next());
            }
            continue;
        }
        let Some(setting) = setting_of_flag(name) else {
            split.verbs.push(arg);
            continue;
        };
        let name = name.to_owned();
        let is_switch = matches!(setting.kind, Kind::Switch) && name == setting.flag();
        let value = match inline {
            Some(value) => value,
            None if is_switch => {
                let word = args.next_if(|next| next == "true" || next == "false");
                word.and_then(|word| word.into_string().ok()).unwrap_or_else(|| "true".to_owned())
            }
            None => match args.next_if(|next| !next.to_string_lossy().starts_with("--")) {
                Some(value) => value.into_string().map_err(|value| {
                    Failure::usage(format!(
                        "--{name}: {value:?} is not UTF-8; choose a name with other characters"
                    ))
                })?,
                None => {
                    return Err(Failure::usage(format!(
                        "--{name} needs a value, {}; for example --{name} {}",
                        setting.shape, setting.example
                    )));
                }
            },
        };
        split.settings.push((name, value));
    }
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn taken(line: &str) -> Result<(Vec<String>, Vec<String>), Failure> {
        let args = std::iter::once("platform-kernel").chain(line.split_whitespace()).map(OsString::from);
        let split = split(&cli::command(), args)?;
        let verbs = split.verbs.into_iter().skip(1).map(|verb| verb.into_string().unwrap()).collect();
        let settings = split.settings.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok((verbs, settings))
    }

    #[test]
    fn settings_are_taken_out_wherever_they_stand() {
        let (verbs, settings) = taken("--data-dir /a sandbox list --gateway-port=9090 --json").unwrap();
        assert_eq!(verbs, ["sandbox", "list", "--json"]);
        assert_eq!(settings, ["data-dir=/a", "gateway-port=9090"]);
    }

    #[test]
    fn an_option_of_the_verb_goes_before_a_setting_of_that_name() {
        let (verbs, settings) = taken("sandbox create acme --template empty --data-dir /a").unwrap();
        assert_eq!(verbs, ["sandbox", "create", "acme", "--template", "empty"]);
        assert_eq!(settings, ["data-dir=/a"]);
        let (verbs, settings) = taken("serve --template empty").unwrap();
        assert_eq!((verbs, settings), (vec!["serve".to_owned()], vec!["template=empty".to_owned()]));
    }

    #[test]
    fn the_value_of_an_option_is_never_taken_for_a_setting() {
        let (verbs, settings) = taken("logs --trace --data-dir").unwrap();
        assert_eq!((verbs.join(" "), settings.len()), ("logs --trace --data-dir".to_owned(), 0));
    }

    #[test]
    fn a_switch_may_stand_alone() {
        assert_eq!(taken("--demo-on-network serve").unwrap().1, ["demo-on-network=true"]);
        assert_eq!(taken("--demo-on-network false serve").unwrap().1, ["demo-on-network=false"]);
        assert_eq!(taken("--log-json=false").unwrap().1, ["log-json=false"]);
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        assert_eq!(taken("--secret-key-file /run/key").unwrap().1, ["secret-key-file=/run/key"]);
    }

    #[test]
    fn a_setting_without_its_value_is_told_with_an_example() {
        let told = taken("serve --data-dir").unwrap_err();
        assert!(told.sentence().contains("for example --data-dir /srv/platform-kernel"), "{told:?}");
        assert!(taken("--data-dir --gateway-port 1").is_err());
    }

    #[test]
    fn what_nobody_knows_is_left_to_clap() {
        assert_eq!(taken("--nonsense -v").unwrap().0, ["--nonsense", "-v"]);
        assert_eq!(taken("logs -- --data-dir x").unwrap().0, ["logs", "--", "--data-dir", "x"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_sentence() {
        use std::os::unix::ffi::OsStringExt;
        let bad = OsString::from_vec(vec![b'/', 0xff]);
        let args = [OsString::from("platform-kernel"), OsString::from("--data-dir"), bad];
        assert!(split(&cli::command(), args).unwrap_err().sentence().contains("is not UTF-8"));
    }
}
