use super::*;

/// The settings of the example that a test wants, without their `#`.
fn uncommented(wanted: impl Fn(&Setting) -> bool) -> String {
    let line_of = |setting: &Setting| {
        let suffix = if setting.secret { "_file" } else { "" };
        let beginning = format!("#{}{suffix} = ", setting.key());
        let example = example_toml();
        let line = example.lines().find(|line| line.starts_with(&beginning)).map(|line| line[1..].to_owned());
        line.unwrap_or_else(|| panic!("{} is not in the example", setting.key()))
    };
    let here = SETTINGS.iter().filter(|setting| setting.available && !setting.outside_file);
    here.filter(|setting| wanted(setting)).map(line_of).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_file_changes_nothing_as_it_is() {
    let text = example_toml();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')));
    assert_eq!(file(&text).config(), nothing().config());
}

#[test]
fn the_values_of_the_example_file_are_the_defaults() {
    let fixed = uncommented(|setting| matches!(setting.default, DefaultValue::Fixed(_)));
    let resolved = file(&fixed).resolved();
    assert_eq!(resolved.config, nothing().config());
    assert_eq!(resolved.warnings(), [""; 0]);
}

#[test]
fn every_default_and_every_example_parses() {
    for setting in SETTINGS.iter().filter(|setting| setting.available) {
        assert!(setting.secret || setting.check(setting.example).is_ok(), "the example of {}", setting.name);
        if let DefaultValue::Fixed(value) = setting.default {
            assert!(setting.check(value).is_ok(), "the default of {}", setting.name);
        }
    }
}

#[test]
fn every_line_of_the_example_file_can_be_used() {
    for setting in SETTINGS.iter().filter(|setting| setting.available && !setting.outside_file) {
        let line = uncommented(|other| other.name == setting.name);
        let about_itself = match file(&line).resolve() {
            Ok(_) => continue,
            Err(mistakes) => {
                mistakes.into_iter().filter(|m| m.to_string().contains(" is not ")).collect::<Vec<_>>()
            }
        };
        assert_eq!(about_itself, [], "{line}");
    }
}

#[test]
fn no_example_is_a_secret_that_somebody_could_copy() {
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        assert_eq!(setting.example, format!("/run/secrets/{}", setting.key()));
    }
    let told = env("KERNEL_SECRET_KEY", "short").mistake();
    assert!(told.ends_with("; for example KERNEL_SECRET_KEY_FILE=/run/secrets/secret_key"), "{told}");
}

#[test]
fn what_is_not_here_yet_is_not_in_the_example() {
    let text = example_toml();
    assert!(!text.contains("clickhouse") && !text.contains("port_offset"));
}
