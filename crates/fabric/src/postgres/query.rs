use std::{sync::Arc, time::Instant};

use kernel::{Error, Result};
use sqlx::{
    Arguments, AssertSqlSafe, FromRow, Postgres, SqlSafeStr, SqlStr,
    postgres::{PgArguments, PgRow},
};

use super::{
    database::Handle,
    fault::{fault, is_lost_connection},
    pool::Checked,
    tx::Tx,
};

/// A statement with its values, to be run on a handle or in a transaction.
pub struct Query<'t> {
    target: Target<'t>,
    statement: Statement,
    fault: Option<Error>,
}

pub(super) enum Target<'t> {
    Handle(Handle),
    Tx(&'t mut Tx),
}

impl<'t> Query<'t> {
    pub(super) fn new(target: Target<'t>, text: SqlStr) -> Self {
        let statement = Statement { text, values: PgArguments::default(), keep: true };
        Self { target, statement, fault: None }
    }

    /// Whether the server keeps the statement prepared. One whose like rarely comes again takes the place of others.
    pub fn kept(mut self, keep: bool) -> Self {
        self.statement.keep = keep;
        self
    }

    /// Binds the next value.
    pub fn bind<'q, T>(mut self, value: T) -> Self
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        if let Err(error) = self.statement.values.add(value) {
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
        match self.target {
            Target::Tx(tx) => {
                let until = tx.cx().deadline();
                let checked = tx.checked()?;
                let done = self.statement.execute(checked, until).await;
                settle(checked, done)
            }
            Target::Handle(handle) => {
                let mut checked = handle.checkout().await?;
                let done = self.statement.execute(&mut checked, handle.deadline()).await;
                settle(&mut checked, done)
            }
        }
    }

    async fn rows(self) -> Result<Vec<PgRow>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match self.target {
            Target::Tx(tx) => {
                let until = tx.cx().deadline();
                let checked = tx.checked()?;
                let done = self.statement.fetch(checked, until).await;
                settle(checked, done)
            }
            Target::Handle(handle) => {
                let mut checked = handle.checkout().await?;
                let may_be_repeated = may_be_repeated(self.statement.text.as_str(), checked.reused);
                let again = may_be_repeated.then(|| self.statement.clone());
                let mut done = self.statement.fetch(&mut checked, handle.deadline()).await;
                if let (Err(Failed::Sql(error)), Some(statement)) = (&done, again)
                    && is_lost_connection(error)
                {
                    // The server is asked again: by now it is back, or the new connection waits for it.
                    checked.forget_idle();
                    drop(checked);
                    checked = handle.checkout().await?;
                    done = statement.fetch(&mut checked, handle.deadline()).await;
                }
                settle(&mut checked, done)
            }
        }
    }
}

/// What goes to the server.
#[derive(Clone)]
struct Statement {
    text: SqlStr,
    values: PgArguments,
    keep: bool,
}

impl Statement {
    async fn fetch(self, on: &mut Checked, until: Instant) -> Result<Vec<PgRow>, Failed> {
        on.in_flight = true;
        within(until, self.query().fetch_all(on.connection())).await
    }

    /// Answers how many rows it touched.
    async fn execute(self, on: &mut Checked, until: Instant) -> Result<u64, Failed> {
        on.in_flight = true;
        within(until, self.query().execute(on.connection())).await.map(|done| done.rows_affected())
    }

    fn query(self) -> sqlx::query::Query<'static, Postgres, PgArguments> {
        sqlx::query_with(self.text, self.values).persistent(self.keep)
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
    until: Instant,
    sent: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failed> {
    match tokio::time::timeout_at(until.into(), sent).await {
        Ok(done) => done.map_err(Failed::Sql),
        Err(_) => Err(Failed::Late),
    }
}

/// Reads what became of a statement: the connection is good again unless it was lost or cut short.
pub(super) fn settle<T>(checked: &mut Checked, done: Result<T, Failed>) -> Result<T> {
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
