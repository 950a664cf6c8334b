use fabric::{
    postgres::{FromRow, Reason},
    sql,
};
use kernel::{Result, TenantId};
use uuid::Uuid;

use super::Control;

/// A verified hostname and whose it is.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct HostnameRow {
    pub hostname: String,
    /// The claim.
    pub id: Uuid,
    /// The name of the sandbox.
    pub sandbox: String,
    pub sandbox_id: Uuid,
    pub tenant_id: TenantId,
}

impl Control {
    /// Grows with each change of the hostnames.
    pub(crate) async fn hostnames_version(&self) -> Result<i64> {
        self.db
            .system(&Self::cx(), Reason::Host)
            .query(sql!("select version from control.hostname_change"))
            .value()
            .await
    }

    /// All of them.
    pub(crate) async fn hostnames(&self) -> Result<Vec<HostnameRow>> {
        self.db
            .system(&Self::cx(), Reason::Host)
            .query(sql!(
                "select h.hostname, h.id, s.name as sandbox, h.sandbox_id, h.tenant_id
                 from control.hostname h join control.sandbox s on s.id = h.sandbox_id"
            ))
            .all()
            .await
    }

    /// Whose a hostname is: the sandbox's id and the tenant.
    pub(crate) async fn hostname_owner(&self, hostname: &str) -> Result<Option<(Uuid, TenantId)>> {
        self.db
            .system(&Self::cx(), Reason::Host)
            .query(sql!("select sandbox_id, tenant_id from control.hostname where hostname = $1"))
            .bind(hostname)
            .optional()
            .await
    }

    /// Claims a hostname; false when it is another tenant's. One's own is claimed anew.
    pub(crate) async fn claim_hostname(&self, row: &HostnameRow) -> Result<bool> {
        let claimed = self
            .db
            .system(&Self::cx(), Reason::Host)
            .query(sql!(
                "insert into control.hostname as h (hostname, id, sandbox_id, tenant_id) values ($1, $2, $3, $4)
                 on conflict (hostname) do update set id = excluded.id
                 where h.sandbox_id = excluded.sandbox_id and h.tenant_id = excluded.tenant_id"
            ))
            .bind(row.hostname.clone())
            .bind(row.id)
            .bind(row.sandbox_id)
            .bind(row.tenant_id)
            .run()
            .await?;
        Ok(claimed == 1)
    }

    /// Gives a claim of one sandbox up.
    pub(crate) async fn release_hostname(&self, sandbox_id: Uuid, id: Uuid) -> Result<()> {
        self.db
            .system(&Self::cx(), Reason::Host)
            .query(sql!("delete from control.hostname where sandbox_id = $1 and id = $2"))
            .bind(sandbox_id)
            .bind(id)
            .run()
            .await
            .map(drop)
    }
}
