//! A kernel with two tenants on it, and what is known of both.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgConnection;
use testkit::{Api, Kernel};

use crate::{
    crm,
    guards::Guards,
    planting::{self, Tenant},
    routes::{self, Address, Words},
    tables::{self, Table},
};

/// The sandbox in which everything happens.
pub const SANDBOX: &str = "default";

/// A kernel on which Alpha has something to lose and Beta tries to get it.
pub struct Stage {
    pub kernel: Kernel,
    pub guards: Guards,
    pub alpha: Tenant,
    pub beta: Tenant,
    /// Every operation at every address.
    pub addresses: Vec<Address>,
    /// Every table with rows of tenants.
    pub tables: Vec<Table>,
    operations: usize,
}

impl Stage {
    /// Opens a kernel, plants Beta, then Alpha: what Beta knew before is not Alpha's. Then only `guards` remain.
    pub async fn open(guards: Guards) -> Self {
        let kernel = Kernel::empty().await;
        crm::register(&kernel.operator()).await;
        let operations = kernel.cell(SANDBOX).await.gateway().operations();
        let document = kernel.api().get("/openapi.json").await.expect(200).body;
        let mut words = words();
        let addresses = routes::addresses(&operations, &words, &document);
        let mut owner = kernel.owner_sql(SANDBOX).await;
        let mut admin = kernel.admin_sql(&format!("pk_{SANDBOX}")).await;

        let mut beta = planting::plant(&kernel.api(), &addresses, "betamark").await;
        let tables = tables::all(&mut owner).await;
        planting::fill(&mut admin, &tables, &beta).await;
        quiet(&kernel, &mut owner).await;
        beta.learn(&addresses, &mut owner, &tables).await;

        let mut alpha = planting::plant(&kernel.api(), &addresses, "alphamark").await;
        planting::fill(&mut admin, &tables, &alpha).await;
        // From here on nothing falls due by itself.
        let freeze = json!({ "mode": "freeze" });
        kernel.operator().post("/api/v1/sandboxes/default/clock", freeze).await.expect(200);
        quiet(&kernel, &mut owner).await;
        alpha.learn(&addresses, &mut owner, &tables).await;
        alpha.knows = alpha.knows.without(&beta.knows);

        words.insert("type".into(), kinds_of_entities(&mut owner, &alpha).await);
        let addresses = routes::addresses(&operations, &words, &document);
        guards.leave_alone(&mut admin, &tables).await;
        Self { kernel, guards, alpha, beta, addresses, tables, operations: operations.len() }
    }

    /// How many operations the table has.
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// A connection that sees every tenant's rows.
    pub async fn owner(&self) -> PgConnection {
        self.kernel.owner_sql(SANDBOX).await
    }

    /// Beta as it must be to reach as far as it can: signed in, with the module.
    pub async fn revive_beta(&mut self) {
        let Tenant { owner, email, .. } = &mut self.beta;
        if owner.get("/api/v1/auth/me").await.status != 200 {
            *owner = owner.sign_in(email, planting::PASSWORD).await;
        }
        let active = owner.get("/api/v1/modules/active").await.expect(200);
        if !active.data().iter().any(|module| module["slug"] == "crm") {
            owner.post("/api/v1/modules/crm/install", json!({})).await;
            owner.post("/api/v1/modules/crm/enable", json!({})).await;
        }
    }

    pub async fn close(self) {
        self.kernel.close().await;
    }

    /// A stranger.
    pub fn stranger(&self) -> Api {
        self.kernel.api()
    }
}

/// What parameters stand for that are no ids. One that is missing here is taken for an id.
fn words() -> Words {
    let words: [(&str, &[&str]); 8] = [
        ("module", &["crm"]),
        ("slug", &["crm"]),
        ("model", &crm::MODELS),
        ("path", &["reports/pipeline"]),
        ("name", &[SANDBOX]),
        ("size", &["card_300"]),
        ("topic", &["platform.auth.events", "platform.crm.events", "platform.data.events"]),
        ("type", &["crm.companies"]),
    ];
    words
        .into_iter()
        .map(|(name, all)| (name.to_owned(), all.iter().map(|word| (*word).to_owned()).collect()))
        .collect()
}

async fn kinds_of_entities(owner: &mut PgConnection, tenant: &Tenant) -> Vec<String> {
    let kinds = "select distinct entity_type from kernel.audit_record where tenant_id = $1 order by 1";
    let kinds: Vec<String> = sqlx::query_scalar(kinds).bind(tenant.id).fetch_all(owner).await.unwrap();
    // They stand in paths.
    kinds
        .into_iter()
        .filter(|kind| kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)))
        .collect()
}

/// Waits until nothing is under way that follows from what was written: events to be given their place in the log,
/// records to be chained, jobs that are due.
pub async fn quiet(kernel: &Kernel, owner: &mut PgConnection) {
    // Rows that were planted by hand woke nobody.
    kernel.cell(SANDBOX).await.db().note_written();
    let still = "select not exists (select from kernel.outbox)
                        and not exists (select from kernel.audit_record where seq is null)
                        and not exists (select from kernel.job where failed_at is null and due_at <= kernel.now())";
    let give_up = Instant::now() + Duration::from_secs(30);
    while !sqlx::query_scalar::<_, bool>(still).fetch_one(&mut *owner).await.unwrap() {
        assert!(Instant::now() < give_up, "events, audit records or jobs have been waiting for 30 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The `id` of an answer, by whichever name it goes.
pub fn id_in(body: &Value) -> Option<String> {
    let members = body.as_object()?;
    let own = members.get("id").and_then(Value::as_str);
    let named = || members.iter().find(|(name, value)| name.ends_with("Id") && value.is_string());
    own.or_else(|| named().and_then(|(_, value)| value.as_str())).map(str::to_owned)
}
