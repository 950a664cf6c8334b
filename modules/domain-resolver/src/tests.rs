use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::{Clock, Error, Permissions, Secret, Slug, UserId};
use ports::{Iam, ModuleTokenRequest, Principal, TenantInfo, UserInfo, link::LinkOptions};

use fabric::{
    crypto::RootKey,
    postgres::{Budget, DatabaseOptions, PgConnectOptions},
};

use super::*;

/// Knows one tenant, and counts the questions.
struct OneTenant {
    shop: TenantId,
    asked: AtomicUsize,
}

#[async_trait]
impl Iam for OneTenant {
    async fn tenant_by_slug(&self, cx: &Ctx, slug: String) -> Result<Option<TenantInfo>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if slug == "shop" { self.tenant(cx, self.shop).await } else { Ok(None) }
    }
    async fn tenant(&self, _: &Ctx, id: TenantId) -> Result<Option<TenantInfo>> {
        let info =
            TenantInfo { id, name: "Shop".into(), slug: "shop".into(), blocked: false, is_platform: false };
        Ok((id == self.shop).then_some(info))
    }
    async fn authenticate(&self, _: &Ctx, _: Secret) -> Result<Principal> {
        Err(Error::unauthorized())
    }
    async fn permissions(&self, _: &Ctx, _: TenantId, _: UserId) -> Result<Arc<Permissions>> {
        Ok(Arc::default())
    }
    async fn is_ancestor(&self, _: &Ctx, _: TenantId, _: TenantId) -> Result<bool> {
        Ok(false)
    }
    async fn user(&self, _: &Ctx, _: UserId) -> Result<Option<UserInfo>> {
        Ok(None)
    }
    async fn owners(&self, _: &Ctx, _: TenantId) -> Result<Vec<UserId>> {
        Ok(Vec::new())
    }
    async fn module_token(&self, _: &Ctx, _: ModuleTokenRequest) -> Result<Secret> {
        Err(Error::unauthorized())
    }
    async fn sign(&self, _: &Ctx, _: &'static str, _: serde_json::Value) -> Result<String> {
        Err(Error::unauthorized())
    }
    async fn jwks(&self, _: &Ctx) -> Result<Arc<serde_json::Value>> {
        Ok(Arc::default())
    }
}

/// `shop.example` is the tenant's.
struct OneName(TenantId);

#[async_trait]
impl Hostnames for OneName {
    fn tenant_of(&self, hostname: &str) -> Option<TenantId> {
        (hostname == "shop.example").then_some(self.0)
    }
    async fn is_taken(&self, _: &str, _: TenantId) -> Result<bool> {
        Ok(false)
    }
    async fn claim(&self, _: Claim) -> Result<bool> {
        Ok(true)
    }
    async fn release(&self, _: DomainId) -> Result<()> {
        Ok(())
    }
}

fn resolver() -> (Arc<OneTenant>, Arc<DomainResolver>, Ctx) {
    let sandbox: SandboxName = "acme".parse().unwrap();
    let iam = Arc::new(OneTenant { shop: TenantId::new(), asked: AtomicUsize::new(0) });
    let link = IamLink::new("iam", LinkOptions::default(), Arc::clone(&iam) as Arc<dyn Iam>);
    // Nothing is opened: what these tests ask needs no database.
    let nowhere = PgConnectOptions::new_without_pgpass();
    let db = Database::new(DatabaseOptions {
        app: nowhere.clone(),
        system: nowhere.clone(),
        data: nowhere,
        budget: Budget::new(1),
        pool_size: 1,
        key: RootKey::new(&[1; 32]),
    });
    let deps = DomainResolverDeps {
        sandbox: sandbox.clone(),
        iam: link,
        hosts: Vec::new(),
        db,
        dns: Dns::new(&[]),
        hostnames: Arc::new(OneName(iam.shop)),
        cursor: CursorKey::new(&[2; 32]),
        target: "kernel.example".into(),
    };
    (iam, DomainResolver::create(deps), Ctx::build(sandbox, Clock::real()).finish())
}

#[tokio::test]
async fn a_host_names_its_tenant_and_is_asked_for_once() {
    let (iam, resolver, cx) = resolver();
    for _ in 0..3 {
        let tenant = resolver.tenant_of_host(&cx, "Shop.acme.localhost:8080".into()).await.unwrap();
        assert_eq!(tenant, Some(iam.shop));
    }
    assert_eq!(iam.asked.load(Ordering::Relaxed), 1);
    assert_eq!(resolver.tenant_of_host(&cx, "acme.localhost".into()).await.unwrap(), None);
    let added = resolver.tenant_of_host(&cx, "Shop.Example.:443".into()).await.unwrap();
    assert_eq!(added, Some(iam.shop));
}

#[tokio::test]
async fn a_host_without_a_tenant_is_not_found_and_is_asked_for_once() {
    let (iam, resolver, cx) = resolver();
    for host in ["nobody.acme.localhost", "nobody.acme.localhost", "shop.other.localhost", "example.com"] {
        let error = resolver.tenant_of_host(&cx, host.into()).await.unwrap_err();
        assert_eq!(error.slug(), Slug::NotFound);
    }
    assert_eq!(iam.asked.load(Ordering::Relaxed), 1);
}
