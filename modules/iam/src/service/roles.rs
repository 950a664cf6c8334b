//! Roles of a tenant, and what can be granted there.

use fabric::postgres::{Audit, violated};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, RoleId, Slug, Timestamp, check::Checks};
use ports::http::{Page, Paging, page_size};

use super::users::Giver;
use crate::{
    Iam,
    events::{RoleChanged, Tell as _},
    generations::Subject,
    http::roles::{RoleIn, RoleOut, RolePatch},
    model::{MOST_ROLES, RoleKind, expect_version, permission::PermissionGroup},
    store::roles::{self, RoleRow},
};

const MOST_NAME: usize = 60;
const MOST_DESCRIPTION: usize = 500;

impl Iam {
    /// Every permission that can be granted in the tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn permission_groups(&self, cx: &Ctx) -> Result<Page<PermissionGroup>> {
        Ok(Page::whole(self.giver(cx).await?.catalogue().groups()))
    }

    /// The roles, the built-in ones first.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub async fn roles(&self, cx: &Ctx, paging: &Paging) -> Result<Page<RoleOut>> {
        let tenant = cx.tenant().ok();
        let limit = page_size(paging.limit)?;
        let after: Option<(i64, RoleId)> =
            paging.cursor.as_deref().map(|cursor| self.cursors.read(tenant, "roles", cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let giver = self.giver(cx).await?;
        let rows = roles::list(&self.db.tenant(cx)?, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursors.write(tenant, "roles", &(last.created_at.micros(), last.id))
        });
        Ok(page.map(|row| shown(&giver, row)))
    }

    /// One role.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn role(&self, cx: &Ctx, role: RoleId) -> Result<RoleOut> {
        let giver = self.giver(cx).await?;
        let row = roles::read(&self.db.tenant(cx)?, role).await?;
        row.map(|row| shown(&giver, row)).ok_or_else(|| Error::not_found("role"))
    }

    /// Makes a custom role.
    ///
    /// # Errors
    /// `validation-error`; `forbidden` for a permission that the caller lacks; `already-exists` for a taken name;
    /// `limit-exceeded` at 200 roles.
    pub async fn create_role(&self, cx: &Ctx, input: RoleIn) -> Result<RoleOut> {
        let giver = self.giver(cx).await?;
        let now = cx.now();
        let role = RoleRow {
            id: RoleId::new(),
            kind: RoleKind::Custom,
            name: input.name.trim().to_owned(),
            description: input.description.unwrap_or_default().trim().to_owned(),
            permissions: in_order(input.permissions),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        check_words(&role)?;
        giver.catalogue().check(&role.permissions, giver.permissions(), false)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !roles::add(&mut tx, &role, MOST_ROLES).await.map_err(name_taken)? {
            let detail = format!("A tenant takes {MOST_ROLES} custom roles; remove one that nobody holds.");
            return Err(Error::new(Slug::LimitExceeded, detail));
        }
        tx.event(told(cx, role.id, "created")?.event()?)?;
        let out = shown(&giver, role);
        tx.audit(Audit::new("role.created", "role", out.id).after(&out))?;
        tx.commit(out).await
    }

    /// Changes a custom role; its holders have what it grants at their next request.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for a built-in role; `precondition-failed`; as [`Iam::create_role`].
    pub async fn update_role(
        &self,
        cx: &Ctx,
        role: RoleId,
        patch: RolePatch,
        seen: Option<i32>,
    ) -> Result<RoleOut> {
        let giver = self.giver(cx).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut row = roles::lock(&mut tx, role).await?.ok_or_else(|| Error::not_found("role"))?;
        expect_custom(&row)?;
        expect_version(seen, row.version)?;
        let before = shown(&giver, row.clone());
        if let Some(name) = patch.name {
            row.name = name.trim().to_owned();
        }
        if let Some(description) = patch.description {
            row.description = description.trim().to_owned();
        }
        if let Some(permissions) = patch.permissions {
            let wanted = in_order(permissions);
            let added: Vec<String> =
                wanted.iter().filter(|name| !row.permissions.contains(name)).cloned().collect();
            giver.catalogue().check(&added, giver.permissions(), false)?;
            row.permissions = wanted;
        }
        check_words(&row)?;
        row.version += 1;
        row.updated_at = cx.now();
        roles::change(&mut tx, &row).await.map_err(name_taken)?;
        tx.event(told(cx, role, "updated")?.event()?)?;
        let out = shown(&giver, row);
        tx.audit(Audit::new("role.updated", "role", role).before(&before).after(&out))?;
        let out = tx.commit(out).await?;
        self.memory.changed(Subject::Tenant(cx.tenant()?));
        Ok(out)
    }

    /// Removes a custom role that nobody holds.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for a built-in role; `conflict` while somebody holds it; `precondition-failed`.
    pub async fn delete_role(&self, cx: &Ctx, role: RoleId, seen: Option<i32>) -> Result<()> {
        let giver = self.giver(cx).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = roles::lock(&mut tx, role).await?.ok_or_else(|| Error::not_found("role"))?;
        expect_custom(&row)?;
        expect_version(seen, row.version)?;
        roles::remove(&mut tx, role).await.map_err(|error| match violated(&error) {
            Some("member_role_in_use") => {
                Error::new(Slug::Conflict, "Somebody holds this role; take it from them first.")
                    .because(error)
            }
            _ => error,
        })?;
        tx.event(told(cx, role, "deleted")?.event()?)?;
        tx.audit(Audit::new("role.deleted", "role", role).before(&shown(&giver, row)))?;
        tx.commit(()).await?;
        self.memory.changed(Subject::Tenant(cx.tenant()?));
        Ok(())
    }
}

fn shown(giver: &Giver, row: RoleRow) -> RoleOut {
    RoleOut {
        id: row.id,
        permissions: giver.catalogue().of_role(row.kind, &row.permissions),
        kind: row.kind,
        name: row.name,
        description: row.description,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
    }
}

fn told(cx: &Ctx, role: RoleId, change: &'static str) -> Result<RoleChanged<'static>> {
    Ok(RoleChanged { tenant_id: cx.tenant()?, change, role_id: Some(role), user_id: None, roles: None })
}

fn in_order(mut permissions: Vec<String>) -> Vec<String> {
    permissions.sort();
    permissions.dedup();
    permissions
}

fn check_words(role: &RoleRow) -> Result<()> {
    let mut checks = Checks::new();
    checks.length("/name", &role.name, 1, MOST_NAME);
    checks.length("/description", &role.description, 0, MOST_DESCRIPTION).finish()
}

fn expect_custom(role: &RoleRow) -> Result<()> {
    match role.kind {
        RoleKind::Custom => Ok(()),
        _ => Err(Error::new(Slug::InvalidState, format!("{} is built in and stays as it is.", role.name))),
    }
}

fn name_taken(error: Error) -> Error {
    if violated(&error) == Some("role_name") {
        let field = FieldError::new("/name", FieldCode::NotAllowed, "is the name of another role");
        return Error::new(Slug::AlreadyExists, "There is a role of this name.")
            .with_fields(vec![field])
            .because(error);
    }
    error
}
