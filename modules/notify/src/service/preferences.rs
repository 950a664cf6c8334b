//! What a person wants to be told.

use kernel::{Ctx, Error, Result, Slug, check::Checks};

use super::person;
use crate::{
    Notify,
    http::preferences::{PreferencesOut, PreferencesPatch},
    model::preference::{check_quiet, check_rules},
    store::preferences::{self, PreferenceRow},
};

impl Notify {
    /// The caller's wishes; without any, everything is wanted at any time.
    ///
    /// # Errors
    /// `forbidden` for keys and modules.
    pub(crate) async fn preferences(&self, cx: &Ctx) -> Result<PreferencesOut> {
        let row = preferences::read(&self.db.tenant(cx)?, person(cx)?).await?;
        Ok(row.map(PreferencesOut::from).unwrap_or_default())
    }

    /// Changes the caller's wishes.
    ///
    /// # Errors
    /// `forbidden` for keys and modules; `validation-error`; `precondition-failed`.
    pub(crate) async fn change_preferences(
        &self,
        cx: &Ctx,
        patch: PreferencesPatch,
        seen: Option<i32>,
    ) -> Result<PreferencesOut> {
        let user = person(cx)?;
        let mut checks = Checks::new();
        if let Some(rules) = &patch.rules {
            check_rules(&mut checks, rules);
        }
        if let Some(Some(quiet)) = &patch.quiet_hours {
            check_quiet(&mut checks, quiet);
        }
        checks.finish()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = preferences::lock(&mut tx, user).await?;
        let current = row.as_ref().map_or(0, |row| row.version);
        let stale = || {
            let text =
                format!("You have seen version {}; the current one is {current}.", seen.unwrap_or_default());
            Error::new(Slug::PreconditionFailed, text)
        };
        if seen.is_some_and(|seen| seen != current) {
            return Err(stale());
        }
        let (rules, quiet) = match row {
            Some(row) => (row.rules.0, row.quiet.map(|quiet| quiet.0)),
            None => (Vec::new(), None),
        };
        let rules = patch.rules.unwrap_or(rules);
        let quiet = patch.quiet_hours.unwrap_or(quiet);
        let kept = preferences::keep(&mut tx, user, &rules, quiet.as_ref(), current).await?;
        // Somebody else's first change came in between.
        let kept = kept.ok_or_else(stale)?;
        tx.commit(PreferencesOut::from(kept)).await
    }
}

impl From<PreferenceRow> for PreferencesOut {
    fn from(row: PreferenceRow) -> Self {
        Self {
            rules: row.rules.0,
            quiet_hours: row.quiet.map(|quiet| quiet.0),
            version: row.version,
            updated_at: Some(row.updated_at),
        }
    }
}
