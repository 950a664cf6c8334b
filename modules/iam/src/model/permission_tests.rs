use std::sync::Arc;

use kernel::TenantId;

use super::*;

fn snapshot(tenant: TenantId) -> ModuleSnapshot {
    let crm = ModuleInfo {
        slug: "crm".parse().unwrap(),
        name: "@example/crm".to_owned(),
        version: "1.0.0".to_owned(),
        backend: None,
        models: Default::default(),
        permissions: ["crm.contacts.read", "crm.contacts.write", "crm.deals.read"]
            .map(str::to_owned)
            .to_vec(),
        publishes: Vec::new(),
        subscribes: Vec::new(),
        revision: 1,
    };
    let mut snapshot = ModuleSnapshot::default();
    snapshot.installed.insert(tenant, vec![crm.slug.clone()]);
    snapshot.modules.insert(crm.slug.clone(), Arc::new(crm));
    snapshot
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn an_admin_has_all_but_ownership_and_the_plan() {
    let tenant = TenantId::new();
    let modules = snapshot(tenant);
    let catalogue = Catalogue::new(TenantKind::Client, tenant, &modules);
    let admin = Permissions::new(catalogue.of_role(RoleKind::Admin, &[]));
    assert!(admin.allow("users.delete") && admin.allow("crm.contacts.write") && admin.allow("billing.view"));
    assert!(!admin.allow("billing.change") && !admin.allow("modules.register") && !admin.allow("*"));
    let elsewhere = Catalogue::new(TenantKind::Client, TenantId::new(), &modules);
    assert!(!Permissions::new(elsewhere.of_role(RoleKind::Admin, &[])).allow("crm.contacts.write"));
}

#[test]
fn a_member_reads() {
    let tenant = TenantId::new();
    let modules = snapshot(tenant);
    let member =
        Permissions::new(Catalogue::new(TenantKind::Client, tenant, &modules).of_role(RoleKind::Member, &[]));
    assert!(member.allow("users.list") && member.allow("crm.contacts.read") && member.allow("billing.view"));
    for not in ["users.create", "crm.contacts.write", "audit.read", "apikeys.list", "events.publish"] {
        assert!(!member.allow(not), "{not}");
    }
}

#[test]
fn only_the_owner_of_the_platform_registers_modules() {
    let tenant = TenantId::new();
    let modules = ModuleSnapshot::default();
    for (kind, expected) in
        [(TenantKind::Platform, true), (TenantKind::Partner, false), (TenantKind::Client, false)]
    {
        let catalogue = Catalogue::new(kind, tenant, &modules);
        let owner = Permissions::new(catalogue.of_role(RoleKind::Owner, &[]));
        assert_eq!(owner.allow("modules.register"), expected);
        assert_eq!(catalogue.check(&texts(&["modules.register"]), &owner, false).is_ok(), expected);
        assert!(!owner.allow("system.shutdown") && !owner.allow("sandboxes.list"));
    }
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let tenant = TenantId::new();
    let modules = snapshot(tenant);
    let catalogue = Catalogue::new(TenantKind::Client, tenant, &modules);
    let giver = Permissions::new(["users.list", "crm.contacts.*"]);
    assert!(
        catalogue
            .check(&texts(&["users.list", "crm.contacts.read", "crm.contacts.*"]), &giver, false)
            .is_ok()
    );
    for beyond in ["users.*", "users.create", "crm.*", "crm.deals.read"] {
        let refused = catalogue.check(&texts(&[beyond]), &giver, false).unwrap_err();
        assert_eq!(refused.slug(), Slug::Forbidden, "{beyond}");
    }
}

#[test]
fn what_is_no_permission_is_named() {
    let tenant = TenantId::new();
    let modules = snapshot(tenant);
    let catalogue = Catalogue::new(TenantKind::Client, tenant, &modules);
    let owner = Permissions::new(["*"]);
    let wrong =
        texts(&["users.list", "*", "users.fly", "u*", ".*", "shop.*", "sandboxes.create", "system.*"]);
    let refused = catalogue.check(&wrong, &owner, false).unwrap_err();
    let fields: Vec<_> = refused.field_errors().iter().map(|mistake| mistake.field.as_str()).collect();
    assert_eq!(fields, (1..=7).map(|at| format!("/permissions/{at}")).collect::<Vec<_>>());
    assert!(catalogue.check(&texts(&["*"]), &owner, true).is_ok());
    assert!(catalogue.check(&texts(&["*"]), &Permissions::new(["users.*"]), true).is_err());
}

#[test]
fn the_catalogue_shows_each_permission_once() {
    let tenant = TenantId::new();
    let modules = snapshot(tenant);
    let groups = Catalogue::new(TenantKind::Client, tenant, &modules).groups();
    let names: Vec<_> = groups.iter().flat_map(|group| &group.permissions).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), unique.len());
    assert!(groups.iter().any(|group| group.group == "crm" && group.source == "@example/crm"));
    assert!(!names.iter().any(|name| Permissions::of_platform(name)));
}
