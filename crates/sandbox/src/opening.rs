//! The control database, opened with the installation's key and no other.

use std::sync::Arc;

use fabric::{
    crypto::RootKey,
    postgres::{ClusterError, Database, DatabaseOptions, Login, Logins, MigrationError, Migrations},
};

use crate::{control::Control, error::OpenError, parts::Parts};

/// Its name.
pub(crate) const CONTROL: &str = "pk_control";

pub(crate) async fn open_control(
    parts: &Parts,
    migrations: &Migrations,
    key: &RootKey,
) -> Result<Database, OpenError> {
    let logins = Logins::control(key.branch("control"));
    if parts.cluster.is_single() {
        // The one database holds both.
        if parts.cluster.has_owner() {
            migrations.apply(&logins.options(&parts.cluster, Login::Owner, CONTROL)).await?;
        }
        return Ok(database(parts, &logins, key));
    }
    match parts.cluster.owner_of(CONTROL).await? {
        None => {
            parts.cluster.create_database(CONTROL, None).await?;
            parts.cluster.let_in(&logins, CONTROL).await?;
        }
        Some(owner) if owner != "pk_owner" => return Err(ClusterError::NotOurs(CONTROL.to_owned()).into()),
        // A start that was killed before it made the logins is finished here.
        Some(_) if parts.cluster.roles(&logins.name(Login::Owner)).await?.is_empty() => {
            parts.cluster.let_in(&logins, CONTROL).await?;
        }
        Some(_) => {}
    }
    let owner = logins.options(&parts.cluster, Login::Owner, CONTROL);
    match Migrations::control().apply(&owner).await {
        Ok(_) => {}
        // The logins' passwords come from the installation's key: with another key nobody gets in.
        Err(MigrationError::Unreachable(error)) if error.as_database_error().is_some() => {
            tracing::debug!(%error, "the control database does not let us in");
            return Err(OpenError::OtherKey);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(database(parts, &logins, key))
}

fn database(parts: &Parts, logins: &Logins, key: &RootKey) -> Database {
    let options = |login| logins.options(&parts.cluster, login, CONTROL);
    Database::new(DatabaseOptions {
        app: options(Login::App),
        system: options(Login::System),
        data: options(Login::Data),
        budget: Arc::clone(&parts.budget),
        pool_size: 12,
        key: key.branch("control"),
    })
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
