//! The tree of tenants, as far as the caller's tenant sees it: itself and what lies below.

use std::collections::BTreeMap;

use fabric::postgres::{Audit, Reason, Tx};
use kernel::{
    Ctx, Error, FieldCode, FieldError, Result, RoleId, Slug, TenantId, TenantSlug, Timestamp, UserId,
    check::Checks,
};
use ports::http::{Page, page_size};

use super::registration::{MOST_NAME, USERS, address_taken};
use crate::{
    Iam,
    events::{Tell as _, TenantBlocked, TenantCreated, TenantDeleted, TenantUpdated, UserCreated},
    http::tenants::{OwnerIn, TenantIn, TenantOut, TenantPatch, TenantTreeOut, TenantsQuery, TreeOut},
    model::{MOST_OF_TREE, TenantKind, TenantState, expect_version, normal_email, password, slug},
    store::{
        accounts::{self, NewAccount},
        members,
        tenants::{self, NewTenant, TenantRow},
    },
};

impl Iam {
    /// The caller's tenant and those below it, the oldest first; without a state all but the deleted.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub async fn tenants(&self, cx: &Ctx, query: &TenantsQuery) -> Result<Page<TenantOut>> {
        let parent = query.parent_id.map(|id| id.to_string()).unwrap_or_default();
        let list = format!("tenants/{}/{parent}", query.state.map_or("", TenantState::as_str));
        let tenant = cx.tenant().ok();
        let limit = page_size(query.limit)?;
        let after: Option<(i64, TenantId)> =
            query.cursor.as_deref().map(|cursor| self.cursors.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = tenants::list(&self.db.tenant(cx)?, query.state, query.parent_id, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursors.write(tenant, &list, &(last.created_at.micros(), last.id))
        });
        Ok(page.map(TenantOut::from))
    }

    /// One tenant of the caller's part of the tree.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn tenant(&self, cx: &Ctx, id: TenantId) -> Result<TenantOut> {
        let row = tenants::read(&self.db.tenant(cx)?, id).await?;
        row.map(TenantOut::from).ok_or_else(no_tenant)
    }

    /// A tenant with all below it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn tenant_tree(&self, cx: &Ctx, id: TenantId) -> Result<TreeOut> {
        let mut rows = tenants::subtree(&self.db.tenant(cx)?, id, MOST_OF_TREE).await?;
        let truncated = rows.len() > MOST_OF_TREE;
        rows.truncate(MOST_OF_TREE);
        let root = grow(rows, id).ok_or_else(no_tenant)?;
        Ok(TreeOut { root, truncated })
    }

    /// Makes a tenant below the caller's, or below one below it. Its Owner is a new person, or else the caller.
    ///
    /// # Errors
    /// `validation-error`; `not-found` for a parent outside of the caller's part of the tree; `invalid-state` for a
    /// parent that can't hold it; `already-exists` for a taken slug or address; `rate-limited`.
    pub async fn create_tenant(&self, cx: &Ctx, input: TenantIn) -> Result<TenantOut> {
        let above = cx.tenant()?;
        let (name, now) = (input.name.trim(), cx.now());
        let mut checks = Checks::new();
        checks.length("/name", name, 1, MOST_NAME);
        let slug = input.slug.as_deref().and_then(|text| wanted_slug(&mut checks, text));
        let founder = match (&input.owner, cx.actor().user()) {
            (Some(owner), _) => Founder::check(&mut checks, owner),
            (None, Some(user)) => Some(Founder::Caller(user)),
            (None, None) => {
                checks.refuse("/owner", FieldCode::Required, "is needed: a key or module can't own a tenant");
                None
            }
        };
        checks.finish()?;
        let founder = founder.ok_or_else(|| Error::internal("an owner that is not there was found right"))?;
        let password_hash = match &input.owner {
            Some(owner) => self.passwords.hash(cx, &owner.password).await?,
            None => String::new(),
        };

        let mut tx = self.db.system(cx, Reason::TenantTree).begin().await?;
        let parent_id = input.parent_id.unwrap_or(above);
        let parent = tenants::lock_below(&mut tx, above, parent_id).await?.ok_or_else(no_tenant)?;
        if parent.state != TenantState::Active {
            return Err(Error::new(Slug::InvalidState, format!("The tenant above is {}.", parent.state)));
        }
        if !parent.kind.holds(input.kind) {
            let detail = format!("A {} can't lie below a {}.", input.kind, parent.kind);
            return Err(Error::new(Slug::InvalidState, detail));
        }
        let id = TenantId::new();
        let new = NewTenant { id, name, kind: input.kind, parent: Some(parent_id) };
        let (slug, owner_role) = add_tenant(&mut tx, cx, &new, slug).await?;
        let owner = match &founder {
            Founder::Caller(user) => {
                let named = name_in(&mut tx, above, *user).await?;
                members::join(&mut tx, id, *user, &named, &[owner_role], now).await?;
                *user
            }
            Founder::New { email, name } => {
                let user = UserId::new();
                let account = NewAccount {
                    id: user,
                    email,
                    name,
                    password_hash: &password_hash,
                    verified_at: None,
                    last_tenant: Some(id),
                };
                if !accounts::add(&mut tx, &account, now).await? {
                    return Err(address_taken("/owner/email"));
                }
                members::join(&mut tx, id, user, name, &[owner_role], now).await?;
                let told = UserCreated { user_id: user, tenant_id: id, email, name, email_verified: false };
                tx.event(told.event()?)?;
                tx.audit(Audit::new("user.created", "user", user).of(id).after(&told))?;
                user
            }
        };
        tx.reserve_for(id, USERS, 1).await?;
        let founded = TenantCreated {
            tenant_id: id,
            slug: slug.as_str(),
            name,
            kind: input.kind,
            parent_id: Some(parent_id),
            owner_id: Some(owner),
        };
        tx.event(founded.event()?)?;
        let out = TenantOut::from(TenantRow {
            id,
            slug: slug.to_string(),
            name: name.to_owned(),
            kind: input.kind,
            parent_id: Some(parent_id),
            state: TenantState::Active,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        });
        tx.audit(Audit::new("tenant.created", "tenant", id).after(&out))?;
        tx.audit(Audit::new("tenant.created", "tenant", id).of(id).after(&out))?;
        let out = tx.commit(out).await?;
        self.memory.tenant_changed();
        Ok(out)
    }

    /// Renames a tenant.
    ///
    /// # Errors
    /// `not-found`, `validation-error`, `precondition-failed`, `invalid-state` for a deleted one.
    pub async fn update_tenant(
        &self,
        cx: &Ctx,
        id: TenantId,
        patch: TenantPatch,
        seen: Option<i32>,
    ) -> Result<TenantOut> {
        if let Some(name) = &patch.name {
            Checks::new().length("/name", name.trim(), 1, MOST_NAME).finish()?;
        }
        let (mut tx, mut row) = self.locked(cx, id, seen).await?;
        expect_state(&row, &[TenantState::Active, TenantState::Blocked])?;
        let before = TenantOut::from(row.clone());
        if let Some(name) = patch.name {
            row.name = name.trim().to_owned();
        }
        keep(&mut tx, &mut row, cx.now()).await?;
        tx.event(TenantUpdated { tenant_id: id, name: &row.name, state: row.state }.event()?)?;
        self.finish(tx, cx, "tenant.updated", before, row).await
    }

    /// Closes a tenant and all below it: no credential of theirs is taken from this moment on.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for the own tenant, the Platform, or one that is not active.
    pub async fn block_tenant(&self, cx: &Ctx, id: TenantId) -> Result<TenantOut> {
        let (mut tx, mut row) = self.locked(cx, id, None).await?;
        spare(cx, &row, "blocked")?;
        expect_state(&row, &[TenantState::Active])?;
        let before = TenantOut::from(row.clone());
        row.state = TenantState::Blocked;
        keep(&mut tx, &mut row, cx.now()).await?;
        tx.event(TenantBlocked { tenant_id: id }.event()?)?;
        self.finish(tx, cx, "tenant.blocked", before, row).await
    }

    /// Opens a blocked tenant again.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for one that is not blocked.
    pub async fn unblock_tenant(&self, cx: &Ctx, id: TenantId) -> Result<TenantOut> {
        let (mut tx, mut row) = self.locked(cx, id, None).await?;
        expect_state(&row, &[TenantState::Blocked])?;
        let before = TenantOut::from(row.clone());
        row.state = TenantState::Active;
        keep(&mut tx, &mut row, cx.now()).await?;
        tx.event(TenantUpdated { tenant_id: id, name: &row.name, state: row.state }.event()?)?;
        self.finish(tx, cx, "tenant.unblocked", before, row).await
    }

    /// Deletes a tenant below which there is none; its data is removed after 30 days.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for the own tenant, the Platform, or a deleted one; `conflict` while there are
    /// tenants below it; `precondition-failed`.
    pub async fn delete_tenant(&self, cx: &Ctx, id: TenantId, seen: Option<i32>) -> Result<()> {
        let (mut tx, mut row) = self.locked(cx, id, seen).await?;
        spare(cx, &row, "deleted")?;
        expect_state(&row, &[TenantState::Active, TenantState::Blocked])?;
        if tenants::has_children(&mut tx, id).await? {
            return Err(Error::new(Slug::Conflict, "There are tenants below this one; delete them first."));
        }
        let before = TenantOut::from(row.clone());
        row.state = TenantState::Deleted;
        row.deleted_at = Some(cx.now());
        keep(&mut tx, &mut row, cx.now()).await?;
        tx.event(TenantDeleted { tenant_id: id }.event()?)?;
        self.finish(tx, cx, "tenant.deleted", before, row).await.map(drop)
    }

    /// A transaction across tenants with a tenant of the caller's part of the tree locked.
    async fn locked(&self, cx: &Ctx, id: TenantId, seen: Option<i32>) -> Result<(Tx, TenantRow)> {
        let above = cx.tenant()?;
        let mut tx = self.db.system(cx, Reason::TenantTree).begin().await?;
        let row = tenants::lock_below(&mut tx, above, id).await?.ok_or_else(no_tenant)?;
        expect_version(seen, row.version)?;
        Ok((tx, row))
    }

    /// What was done stands in the trail of the one who did it and, where that is another, of the one it was done to.
    async fn finish(
        &self,
        mut tx: Tx,
        cx: &Ctx,
        action: &'static str,
        before: TenantOut,
        row: TenantRow,
    ) -> Result<TenantOut> {
        let id = row.id;
        let out = TenantOut::from(row);
        tx.audit(Audit::new(action, "tenant", id).before(&before).after(&out))?;
        if cx.tenant()? != id {
            tx.audit(Audit::new(action, "tenant", id).of(id).before(&before).after(&out))?;
        }
        let out = tx.commit(out).await?;
        self.memory.tree_changed();
        self.memory.tenant_changed();
        Ok(out)
    }
}

/// Who is to own a new tenant.
enum Founder {
    Caller(UserId),
    New { email: String, name: String },
}

impl Founder {
    fn check(checks: &mut Checks, owner: &OwnerIn) -> Option<Self> {
        let (email, name) = (normal_email(&owner.email), owner.name.trim().to_owned());
        checks.email("/owner/email", &email).length("/owner/name", &name, 1, MOST_NAME);
        password::check(checks, "/owner/password", owner.password.expose(), &email);
        Some(Self::New { email, name })
    }
}

/// What the caller is called in their own tenant is what they are called in the new one.
async fn name_in(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<String> {
    let row = crate::store::standing::read_in(tx, tenant, user, None).await?;
    row.map(|row| row.name).ok_or_else(Error::unauthorized)
}

/// Adds a tenant under the wanted slug, or else under one made from its name.
pub(super) async fn add_tenant(
    tx: &mut Tx,
    cx: &Ctx,
    tenant: &NewTenant<'_>,
    wanted: Option<TenantSlug>,
) -> Result<(TenantSlug, RoleId)> {
    let chosen = wanted.is_some();
    let candidates = wanted.map_or_else(|| slug::candidates(tenant.name, cx.random()), |slug| vec![slug]);
    for slug in candidates {
        if let Some(owner) = tenants::add(tx, tenant, &slug, cx.now()).await? {
            return Ok((slug, owner));
        }
    }
    if chosen {
        let field = FieldError::new("/slug", FieldCode::NotAllowed, "is the name of another tenant");
        return Err(
            Error::new(Slug::AlreadyExists, "There is a tenant of this name.").with_fields(vec![field])
        );
    }
    Err(Error::new(Slug::Conflict, "No free name was found for the tenant's address; try again."))
}

fn wanted_slug(checks: &mut Checks, text: &str) -> Option<TenantSlug> {
    match text.parse::<TenantSlug>() {
        Ok(wanted) if slug::is_free_to_choose(&wanted) => Some(wanted),
        Ok(_) => {
            checks.refuse("/slug", FieldCode::NotAllowed, "is a name that the sandbox uses itself");
            None
        }
        Err(why) => {
            checks.refuse("/slug", FieldCode::InvalidFormat, why.to_string());
            None
        }
    }
}

fn no_tenant() -> Error {
    Error::not_found("tenant")
}

fn spare(cx: &Ctx, row: &TenantRow, act: &str) -> Result<()> {
    let why = if row.kind == TenantKind::Platform {
        format!("The tenant that runs the platform can't be {act}.")
    } else if cx.tenant()? == row.id {
        format!("Your own tenant can't be {act} from within; whoever is above it can do that.")
    } else {
        return Ok(());
    };
    Err(Error::new(Slug::InvalidState, why))
}

fn expect_state(row: &TenantRow, fine: &[TenantState]) -> Result<()> {
    if fine.contains(&row.state) {
        return Ok(());
    }
    Err(Error::new(Slug::InvalidState, format!("The tenant is {}.", row.state)))
}

async fn keep(tx: &mut Tx, row: &mut TenantRow, now: Timestamp) -> Result<()> {
    row.version += 1;
    row.updated_at = now;
    tenants::change(tx, row).await
}

/// Hangs each tenant below its parent. The rows come those above first, so going backwards each is complete before it is
/// hung up.
fn grow(rows: Vec<TenantRow>, root: TenantId) -> Option<TenantTreeOut> {
    let mut below: BTreeMap<TenantId, Vec<TenantTreeOut>> = BTreeMap::new();
    for row in rows.into_iter().rev() {
        let mut children = below.remove(&row.id).unwrap_or_default();
        children.reverse();
        let (id, parent) = (row.id, row.parent_id);
        let node = TenantTreeOut { tenant: TenantOut::from(row), children };
        if id == root {
            return Some(node);
        }
        if let Some(parent) = parent {
            below.entry(parent).or_default().push(node);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: TenantId, name: &str, parent: Option<TenantId>) -> TenantRow {
        let now = Timestamp::real();
        TenantRow {
            id,
            slug: name.to_owned(),
            name: name.to_owned(),
            kind: TenantKind::Client,
            parent_id: parent,
            state: TenantState::Active,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        }
    }

    #[test]
    fn a_tree_grows_from_rows_in_order() {
        let [root, a, b, c] = std::array::from_fn(|_| TenantId::new());
        let above = Some(TenantId::new());
        let rows = vec![
            row(root, "root", above),
            row(a, "a", Some(root)),
            row(b, "b", Some(root)),
            row(c, "c", Some(a)),
        ];
        let tree = grow(rows, root).unwrap();
        let names: Vec<_> = tree.children.iter().map(|child| child.tenant.name.as_str()).collect();
        assert_eq!((tree.tenant.name.as_str(), names), ("root", vec!["a", "b"]));
        assert_eq!(tree.children[0].children[0].tenant.name, "c");
        assert!(grow(Vec::new(), root).is_none());
    }
}
