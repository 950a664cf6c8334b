//! The control database, opened with the installation's key and no other.

use std::sync::Arc;

use fabric::{
    crypto::RootKey,
    postgres::{Database, DatabaseOptions, Login, Logins, Migrations},
};

use crate::{control::Control, error::OpenError, parts::Parts};

/// Its name.
pub(crate) const CONTROL: &str = "pk_control";

pub(crate) async fn open_control(parts: &Parts, key: &RootKey) -> Result<Database, OpenError> {
    let logins = Logins::control(key.branch("control"));
    let present = parts.cluster.databases(CONTROL).await?.iter().any(|name| name == CONTROL);
    if !present {
        parts.cluster.create_database(CONTROL, None).await?;
        parts.cluster.let_in(&logins, CONTROL).await?;
    }
    let owner = logins.options(&parts.cluster, Login::Owner, CONTROL);
    match Migrations::control().apply(&owner).await {
        Ok(_) => {}
        // The roles carry the key's passwords; another key can't sign in. After unpacking they have none yet.
        Err(fabric::postgres::MigrationError::Unreachable(_)) if present && parts.embedded().is_some() => {
            parts.cluster.let_in(&logins, CONTROL).await?;
            Migrations::control().apply(&owner).await?;
        }
        Err(fabric::postgres::MigrationError::Unreachable(_)) if present => return Err(OpenError::OtherKey),
        Err(error) => return Err(error.into()),
    }
    let options = |login| logins.options(&parts.cluster, login, CONTROL);
    Ok(Database::new(DatabaseOptions {
        app: options(Login::App),
        system: options(Login::System),
        data: options(Login::Data),
        budget: Arc::clone(&parts.budget),
        pool_size: 12,
        key: key.branch("control"),
    }))
}

const KEY_CHECK: &[u8] = b"this installation's key";

pub(crate) async fn check_key(control: &Control, key: &RootKey) -> Result<(), OpenError> {
    let seal = key.sealing("installation");
    let kept = control.installation_check(uuid::Uuid::new_v4(), seal.seal(b"check", KEY_CHECK)).await?;
    match seal.open(b"check", &kept) {
        Ok(text) if text == KEY_CHECK => Ok(()),
        _ => Err(OpenError::OtherKey),
    }
}
