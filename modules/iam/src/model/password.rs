//! Which passwords are taken: 12 to 128 characters, not what everybody tries first, not the e-mail address.

use std::{collections::HashSet, sync::LazyLock};

use kernel::{FieldCode, check::Checks};

/// Fewest characters.
pub const LEAST: usize = 12;
/// Most characters. Also bounds the work that a sign-in can ask for.
pub const MOST: usize = 128;

/// Well-known passwords of 12 characters and more, in lower case.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("../common_passwords.txt").lines().filter(|line| !line.is_empty()).collect()
});

/// Words that people fill up to the needed length with digits and signs.
const FILLED_UP: [&str; 48] = [
    "password",
    "passwort",
    "passw",
    "pass",
    "motdepasse",
    "contrasena",
    "senha",
    "qwerty",
    "qwertz",
    "azerty",
    "qwertyuiop",
    "asdfgh",
    "asdfghjkl",
    "zxcvbnm",
    "letmein",
    "welcome",
    "admin",
    "administrator",
    "iloveyou",
    "loveyou",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "basketball",
    "soccer",
    "master",
    "superman",
    "batman",
    "pokemon",
    "princess",
    "sunshine",
    "shadow",
    "starwars",
    "michael",
    "jennifer",
    "jordan",
    "charlie",
    "login",
    "changeme",
    "secret",
    "trustno",
    "whatever",
    "computer",
    "internet",
    "summer",
    "winter",
    "abc",
];

/// Rows of keyboards and the alphabet: a stretch of one is no password.
const ROWS: [&str; 8] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "!@#$%^&*()_+!@#$%^&*()_+",
];

/// Notes what is wrong with a new password.
pub fn check(checks: &mut Checks, field: &str, password: &str, email: &str) {
    let length = password.chars().count();
    if length < LEAST {
        checks.refuse(field, FieldCode::TooShort, format!("needs at least {LEAST} characters, got {length}"));
    } else if length > MOST {
        checks.refuse(field, FieldCode::TooLong, format!("takes at most {MOST} characters, got {length}"));
    } else if password.contains('\0') {
        checks.refuse(field, FieldCode::InvalidFormat, "must not contain a NUL character");
    } else if is_the_address(password, email) {
        checks.refuse(field, FieldCode::NotAllowed, "must not be the e-mail address");
    } else if is_common(password) {
        let why =
            "is among the passwords that are tried first; choose another, for example four words of your own";
        checks.refuse(field, FieldCode::NotAllowed, why);
    }
}

fn is_the_address(password: &str, email: &str) -> bool {
    let password = password.trim().to_lowercase();
    let email = super::normal_email(email);
    !email.is_empty() && (password == email || email.split('@').next() == Some(password.as_str()))
}

/// Whether guessers try it early: listed, a stretch of a row, a repetition, or a listed word filled up.
pub fn is_common(password: &str) -> bool {
    let lower = password.trim().to_lowercase();
    let plain: String = lower.chars().map(plain_letter).collect();
    [&lower, &plain]
        .into_iter()
        .any(|text| COMMON.contains(text.as_str()) || is_repetition(text) || is_stretch(text))
        || has_few_signs(&lower)
        || [&lower, &plain].into_iter().any(|text| is_filled_up(text))
}

/// The letter that a sign stands for in “p@ssw0rd”.
fn plain_letter(letter: char) -> char {
    match letter {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// “abcabcabcabc”: a short piece again and again.
fn is_repetition(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    (1..=letters.len() / 2)
        .any(|period| letters.iter().zip(&letters[period..]).all(|(one, other)| one == other))
        && letters.len() >= LEAST
}

/// “qwertyuiopas”, “zyxwvutsrqpo”: along a row, either way.
fn is_stretch(text: &str) -> bool {
    let backwards: String = text.chars().rev().collect();
    ROWS.iter().any(|row| row.contains(text) || row.contains(&backwards))
}

/// “aaaaaaaabbbb”: three different characters or fewer.
fn has_few_signs(text: &str) -> bool {
    text.chars().collect::<HashSet<_>>().len() <= 3
}

/// “Password2026!”, “123admin1234”: a word of the list with digits and signs around it.
fn is_filled_up(text: &str) -> bool {
    let core = text.trim_matches(|letter: char| !letter.is_alphabetic());
    core.is_empty()
        || FILLED_UP.contains(&core)
        || FILLED_UP.iter().any(|word| core.strip_prefix(word).is_some_and(|rest| FILLED_UP.contains(&rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(password: &str) -> Option<FieldCode> {
        let mut checks = Checks::new();
        check(&mut checks, "/password", password, "ada.lovelace@example.com");
        checks.finish().err().map(|error| error.field_errors()[0].code)
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(refused("Kö9-naïve-ñ"), Some(FieldCode::TooShort));
        assert_eq!(refused("Kö9-naïve-ñandú"), None);
        assert_eq!(refused(&"aB3-".repeat(33)), Some(FieldCode::TooLong));
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for common in [
            "password1234",
            "Password2026!",
            "P@ssw0rd1234",
            "qwertyuiop123",
            "123456789012",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "1q2w3e4r5t6y",
            "qwertyuiopas",
            "zyxwvutsrqpo",
            "adminadmin12",
            "Welcome12345",
            "iloveyou1234",
            "letmeinletmein",
            "111122223333",
            "987654321098",
            "correcthorsebatterystaple",
        ] {
            assert_eq!(refused(common), Some(FieldCode::NotAllowed), "{common}");
        }
    }

    #[test]
    fn the_address_is_no_password() {
        assert_eq!(refused("Ada.Lovelace@example.com"), Some(FieldCode::NotAllowed));
        assert_eq!(refused("ada.lovelace"), Some(FieldCode::NotAllowed));
    }

    #[test]
    fn passwords_of_ones_own_are_taken() {
        for own in ["Sandbox2026!", "tandem-gravel-42-owl", "x7#Lq!92vTzP", "sommerregen im mai"] {
            assert_eq!(refused(own), None, "{own}");
        }
    }

    #[test]
    fn the_list_holds_lower_case_entries_that_length_alone_would_pass() {
        assert!(COMMON.len() >= 900, "{}", COMMON.len());
        for entry in COMMON.iter() {
            assert!(entry.chars().count() >= LEAST, "{entry}");
            assert_eq!(entry.to_lowercase(), **entry);
        }
    }
}
