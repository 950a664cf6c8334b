use std::sync::Arc;

use kernel::{Error, Result};
use sqlx::{
    Arguments, AssertSqlSafe, FromRow, SqlSafeStr, SqlStr,
    postgres::{PgArguments, PgRow},
};

use super::{
    database::Handle,
    fault::{fault, is_lost_connection},
    tx::Tx,
};

/// A statement with its values, to be run on a handle or in a transaction.
pub struct Query<'t> {
    target: Target<'t>,
    text: SqlStr,
    values: PgArguments,
    keep: bool,
    fault: Option<Error>,
}

pub(super) enum Target<'t> {
    Handle(Handle),
    Tx(&'t mut Tx),
}

impl<'t> Query<'t> {
    pub(super) fn new(target: Target<'t>, text: SqlStr) -> Self {
        Self { target, text, values: PgArguments::default(), keep: true, fault: None }
    }

    /// Whether the server keeps the statement prepared. One whose like rarely comes again takes the place of others.
    pub fn kept(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// Binds the next value.
    pub fn bind<'q, T>(mut self, value: T) -> Self
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        if let Err(error) = self.values.add(value) {
            self.fault.get_or_insert(Error::internal(error));
        }
        self
    }

    /// All rows.
    ///
    /// # Errors
    /// What [`fault`] makes of the database's error.
    pub async fn all<R: for<'r> FromRow<'r, PgRow> + Send + Unpin>(self) -> Result<Vec<R>> {
        let rows = self.rows().await?;
        rows.iter().map(|row| R::from_row(row).map_err(fault)).collect()
    }

    /// The row, if there is one.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub async fn optional<R: for<'r> FromRow<'r, PgRow> + Send + Unpin>(self) -> Result<Option<R>> {
        let rows = self.rows().await?;
        rows.first().map(|row| R::from_row(row).map_err(fault)).transpose()
    }

    /// The one row.
    ///
    /// # Errors
    /// As [`Query::all`]; `internal` when there is none.
    pub async fn one<R: for<'r> FromRow<'r, PgRow> + Send + Unpin>(self) -> Result<R> {
        self.optional().await?.ok_or_else(|| Error::internal(sqlx::Error::RowNotFound))
    }

    /// The first column of the one row.
    ///
    /// # Errors
    /// As [`Query::one`].
    pub async fn value<T>(self) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        self.one::<(T,)>().await.map(|(value,)| value)
    }

    /// The first column of the row, if there is one.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub async fn optional_value<T>(self) -> Result<Option<T>>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        Ok(self.optional::<(T,)>().await?.map(|(value,)| value))
    }

    /// Runs it for its effect; answers how many rows it touched.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub async fn run(self) -> Result<u64> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Self { target, text, values, keep, .. } = self;
        match target {
            Target::Tx(tx) => {
                let until = tx.cx().deadline();
                let checked = tx.checked()?;
                checked.in_flight = true;
                let sent = sqlx::query_with(text, values).persistent(keep).execute(checked.connection());
                let done = within(until, sent).await;
                settle(checked, done).map(|done| done.rows_affected())
            }
            Target::Handle(handle) => {
                let mut checked = handle.checkout().await?;
                checked.in_flight = true;
                let sent = sqlx::query_with(text, values).persistent(keep).execute(checked.connection());
                let done = within(handle.deadline(), sent).await;
                settle(&mut checked, done).map(|done| done.rows_affected())
            }
        }
    }

    async fn rows(self) -> Result<Vec<PgRow>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let Self { target, text, values, keep, .. } = self;
        match target {
            Target::Tx(tx) => {
                let until = tx.cx().deadline();
                let checked = tx.checked()?;
                checked.in_flight = true;
                let sent = sqlx::query_with(text, values).persistent(keep).fetch_all(checked.connection());
                let done = within(until, sent).await;
                settle(checked, done)
            }
            Target::Handle(handle) => {
                let mut checked = handle.checkout().await?;
                let again =
                    may_be_repeated(text.as_str(), checked.reused).then(|| (text.clone(), values.clone()));
                checked.in_flight = true;
                let sent = sqlx::query_with(text, values).persistent(keep).fetch_all(checked.connection());
                let done = within(handle.deadline(), sent).await;
                match (done, again) {
                    // The server is asked again: by now it is back, or the new connection waits for it.
                    (Err(Failed::Sql(error)), Some((text, values))) if is_lost_connection(&error) => {
                        checked.forget_idle();
                        drop(checked);
                        let mut checked = handle.checkout().await?;
                        checked.in_flight = true;
                        let sent =
                            sqlx::query_with(text, values).persistent(keep).fetch_all(checked.connection());
                        let done = within(handle.deadline(), sent).await;
                        settle(&mut checked, done)
                    }
                    (done, _) => settle(&mut checked, done),
                }
            }
        }
    }
}

/// Whether a statement may be sent again whose connection was lost before the answer. A plain read always; a call of a
/// function, which may have an effect, only when the connection was dead before (`reused`: it lay idle).
fn may_be_repeated(text: &str, reused: bool) -> bool {
    let mut words = text.split_whitespace();
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("select")) {
        return false;
    }
    let is_call = |word: &str| {
        word.split_once('(').is_some_and(|(name, _)| {
            name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))
        })
    };
    reused || !words.next().is_some_and(is_call)
}

pub(super) enum Failed {
    Late,
    Sql(sqlx::Error),
}

pub(super) async fn within<T>(
    until: std::time::Instant,
    sent: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failed> {
    match tokio::time::timeout_at(until.into(), sent).await {
        Ok(done) => done.map_err(Failed::Sql),
        Err(_) => Err(Failed::Late),
    }
}

/// Reads what became of a statement: the connection is good again unless it was lost or cut short.
pub(super) fn settle<T>(checked: &mut super::pool::Checked, done: Result<T, Failed>) -> Result<T> {
    match done {
        Ok(value) => {
            checked.in_flight = false;
            Ok(value)
        }
        Err(Failed::Late) => {
            // Slow, or gone without a word: then those that lie idle are dead, too.
            checked.forget_idle();
            Err(Error::new(
                kernel::Slug::DeadlineExceeded,
                "The database did not answer in the time allowed.",
            ))
        }
        Err(Failed::Sql(error)) => {
            if is_lost_connection(&error) {
                checked.forget_idle();
            } else {
                checked.in_flight = false;
            }
            Err(fault(error))
        }
    }
}

/// A statement's text: a literal, or one put together from identifiers of a catalogue (never from a caller's text).
pub(super) fn composed(text: Arc<str>) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_repeated_and_what_may_have_an_effect_is_not() {
        assert!(may_be_repeated("select f.* from files.file f where kernel.owns($1, f.tenant_id)", false));
        assert!(may_be_repeated("  SELECT count(*) from x", false));
        for text in ["select kernel.seek($1, $2)", "select kernel.nack(null, $1)"] {
            assert!(!may_be_repeated(text, false) && may_be_repeated(text, true), "{text}");
        }
        for text in
            ["with gone as (delete from x returning 1) select 1", "insert into x values (1)", "selectx"]
        {
            assert!(!may_be_repeated(text, true), "{text}");
        }
    }
}
