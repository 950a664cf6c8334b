use kernel::{Error, Slug};
use sqlx::error::ErrorKind;

/// What a database error means to a caller; the error itself goes to the log.
pub fn fault(error: sqlx::Error) -> Error {
    let slug = match &error {
        sqlx::Error::Database(db) => match db.kind() {
            ErrorKind::UniqueViolation => Slug::AlreadyExists,
            ErrorKind::ForeignKeyViolation => Slug::Conflict,
            ErrorKind::CheckViolation | ErrorKind::NotNullViolation => Slug::ValidationError,
            _ => match db.code().as_deref() {
                // of the kernel's own: kernel.reserve_records, whose message is for the caller
                Some("KN402") => {
                    let told = db.message().to_owned();
                    return Error::new(Slug::PlanLimitExceeded, told);
                }
                // query_canceled: the statement's time is the request's deadline
                Some("57014") => Slug::DeadlineExceeded,
                // too_many_connections, out_of_memory and their family
                Some(code) if code.starts_with("53") => Slug::Overloaded,
                // admin_shutdown, crash_shutdown, cannot_connect_now
                Some("57P01" | "57P02" | "57P03") => Slug::DependencyUnavailable,
                // invalid_password, invalid_catalog_name: another process puts another database and other logins in place
                Some("28P01" | "3D000") => Slug::DependencyUnavailable,
                // data exceptions: a value that the column's type refuses
                Some(code) if code.starts_with("22") => Slug::ValidationError,
                // serialization_failure, deadlock_detected
                Some("40001" | "40P01") => Slug::Conflict,
                _ => Slug::Internal,
            },
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => Slug::DependencyUnavailable,
        _ => Slug::Internal,
    };
    let detail = match slug {
        Slug::AlreadyExists => "A value that must be unique is taken.",
        Slug::Conflict => "Something else refers to it, or changed it at the same moment.",
        Slug::ValidationError => "A value does not fit.",
        Slug::DeadlineExceeded => "The database did not answer in the time allowed.",
        Slug::Overloaded => "The database has no room just now.",
        Slug::DependencyUnavailable => "The database does not answer just now.",
        _ => return Error::internal(error),
    };
    Error::new(slug, detail).because(error)
}

/// The constraint that a statement broke, if that is why it failed.
pub fn violated(error: &Error) -> Option<&str> {
    let source = std::error::Error::source(error)?.downcast_ref::<sqlx::Error>()?;
    source.as_database_error()?.constraint()
}

/// Whether a statement came to nothing because its connection was lost.
pub(super) fn was_lost(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<sqlx::Error>());
    source.is_some_and(is_lost_connection)
}

/// Whether the connection itself is gone, so that a statement with no effect may be sent again on another one.
pub fn is_lost_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(db) => matches!(db.code().as_deref(), Some("57P01" | "57P02" | "57P03")),
        _ => false,
    }
}
