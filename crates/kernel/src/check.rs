//! Checks of incoming values, collected so that the caller learns of all mistakes at once.

use crate::{Error, FieldCode, FieldError, Result};

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Nothing wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a mistake.
    pub fn refuse(&mut self, field: &str, code: FieldCode, message: impl Into<String>) -> &mut Self {
        self.0.push(FieldError::new(field, code, message));
        self
    }

    /// Notes a mistake unless `fine`.
    pub fn ensure(
        &mut self,
        fine: bool,
        field: &str,
        code: FieldCode,
        message: impl Into<String>,
    ) -> &mut Self {
        if !fine {
            self.refuse(field, code, message);
        }
        self
    }

    /// Counts characters; white space at the ends does not count as content.
    pub fn length(&mut self, field: &str, text: &str, least: usize, most: usize) -> &mut Self {
        let given = text.chars().count();
        if text.trim().chars().count() < least {
            let (code, message) = match text.trim().is_empty() {
                true => (FieldCode::Required, "must not be empty".to_owned()),
                false => (FieldCode::TooShort, format!("needs at least {least} characters, got {given}")),
            };
            self.refuse(field, code, message);
        } else if given > most {
            self.refuse(field, FieldCode::TooLong, format!("takes at most {most} characters, got {given}"));
        }
        self.ensure(!text.contains('\0'), field, FieldCode::InvalidFormat, "must not contain a NUL character")
    }

    /// An e-mail address, as far as form goes (RFC 5321 lengths): one @, something on both sides, a dot or
    /// `localhost` in the domain.
    pub fn email(&mut self, field: &str, text: &str) -> &mut Self {
        let well_formed = text.len() <= 254
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'))
            && text.split_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && !domain.contains('@')
                    && (domain.contains('.') || domain == "localhost")
                    && !domain.starts_with(['.', '-'])
                    && !domain.ends_with(['.', '-'])
                    && !domain.contains("..")
            });
        self.ensure(
            well_formed,
            field,
            FieldCode::InvalidFormat,
            "is not an e-mail address, like ada@example.com",
        )
    }

    /// A number within bounds, both included.
    pub fn range(&mut self, field: &str, value: i64, least: i64, most: i64) -> &mut Self {
        self.ensure(
            (least..=most).contains(&value),
            field,
            FieldCode::OutOfRange,
            format!("must be between {least} and {most}, got {value}"),
        )
    }

    /// All mistakes as one error, if there are any.
    ///
    /// # Errors
    /// `validation-error` with every mistake noted.
    pub fn finish(&mut self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::fields(std::mem::take(&mut self.0))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut checks = Checks::new();
        checks.length("/name", " ", 1, 10).email("/email", "nobody").range("/limit", 500, 1, 100);
        let error = checks.finish().unwrap_err();
        let fields: Vec<_> = error.field_errors().iter().map(|e| (e.field.as_str(), e.code)).collect();
        assert_eq!(
            fields,
            [
                ("/name", FieldCode::Required),
                ("/email", FieldCode::InvalidFormat),
                ("/limit", FieldCode::OutOfRange)
            ]
        );
    }

    #[test]
    fn addresses_of_a_sandbox_are_addresses() {
        for good in ["admin@sandbox.localhost", "a@localhost", "ada.l+x@mail.example.com"] {
            assert!(Checks::new().email("/e", good).finish().is_ok(), "{good}");
        }
        for bad in ["", "@", "a@", "a@b", "a b@c.de", "a@b..c", "a@@b.c", "<a@b.c>"] {
            assert!(Checks::new().email("/e", bad).finish().is_err(), "{bad}");
        }
    }
}
