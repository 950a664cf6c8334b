//! The two guards between tenants, and how each is taken away.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::tables::Table;

/// Which guards stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guards {
    /// Row-level security and the application's filter, as in production.
    Both,
    /// Row-level security alone.
    PoliciesAlone,
    /// The application's filter alone.
    FilterAlone,
    /// None.
    Neither,
}

impl Guards {
    /// Takes the others away. `admin` is bound by nothing.
    pub async fn leave_alone(self, admin: &mut PgConnection, tables: &[Table]) {
        if matches!(self, Self::PoliciesAlone | Self::Neither) {
            let all_yours =
                "create or replace function kernel.owns(wanted uuid, tenant_id uuid) returns boolean
                             language sql immutable parallel safe return true";
            sqlx::raw_sql(all_yours).execute(&mut *admin).await.unwrap();
        }
        if matches!(self, Self::FilterAlone | Self::Neither) {
            for Table { name, .. } in tables {
                let open = format!("alter table {name} disable row level security");
                sqlx::raw_sql(AssertSqlSafe(open)).execute(&mut *admin).await.unwrap();
            }
        }
    }
}
