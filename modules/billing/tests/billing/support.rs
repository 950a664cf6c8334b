use kernel::ClockSetting;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use testkit::{Api, Kernel};
use uuid::Uuid;

/// The password of people that a test registers.
pub const PASSWORD: &str = "correct horse battery";
/// The demo's.
pub const DEMO_PASSWORD: &str = "Sandbox2026!";

/// A registered tenant and its Owner.
pub struct Tenant {
    pub id: Uuid,
    pub owner: Api,
    pub email: String,
}

pub async fn register(kernel: &Kernel, name: &str) -> Tenant {
    let (owner, body) = kernel.api().register(name).await;
    Tenant {
        id: body["tenant"]["id"].as_str().unwrap().parse().unwrap(),
        owner,
        email: body["user"]["email"].as_str().unwrap().to_owned(),
    }
}

impl Tenant {
    /// A tenant that is there, with somebody of it.
    pub fn signed_in(id: &str, owner: Api, email: &str) -> Self {
        Self { id: id.parse().unwrap(), owner, email: email.to_owned() }
    }

    /// Signs in again, with another password than those that tests give.
    pub async fn sign_in_with(&mut self, password: &str) {
        self.owner = self.owner.sign_in(&self.email, password).await;
    }

    /// Signs in again: tokens end on the sandbox's clock.
    pub async fn sign_in(&mut self) {
        self.owner = self.owner.sign_in(&self.email, PASSWORD).await;
    }

    pub async fn subscription(&self) -> Value {
        self.owner.get("/api/v1/billing/subscriptions/current").await.expect(200).body
    }

    pub async fn simulate(&self, event: &str) -> Value {
        self.owner.post("/api/v1/billing/simulate", json!({ "event": event })).await.expect(200).body
    }

    /// Every invoice, the newest first; each of them adds up.
    pub async fn invoices(&self) -> Vec<Value> {
        let invoices = self.owner.get("/api/v1/billing/invoices?limit=100").await.expect(200);
        let invoices = invoices.data().clone();
        for invoice in &invoices {
            let sum: i64 = invoice["lines"]
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line["amount"].as_i64().unwrap())
                .sum();
            assert_eq!(sum, invoice["total"].as_i64().unwrap(), "{invoice}");
        }
        invoices
    }

    /// What is used and allowed of something.
    pub async fn in_use(&self, what: &str) -> (i64, Option<i64>) {
        let usage = self.owner.get("/api/v1/billing/usage").await.expect(200);
        let current = usage.body["current"].as_array().unwrap();
        let of = current.iter().find(|row| row["what"] == what).unwrap();
        (of["used"].as_i64().unwrap(), of["limit"].as_i64())
    }

    pub async fn add_user(&self, name: &str) -> testkit::Answer {
        let email = format!("{name}-{}@example.com", Uuid::now_v7().simple());
        let body = json!({ "email": email, "name": name, "password": PASSWORD });
        self.owner.post("/api/v1/users", body).await
    }

    /// Types of the tenant's events that begin so, in order, with one member of each.
    pub async fn told(&self, sql: &mut PgConnection, prefix: &str, member: &str) -> Vec<(String, String)> {
        let events = "select type, coalesce(data ->> $3, '') from (
                          select seq::numeric as place, tenant_id, type, data, topic, partition, true as waits
                          from kernel.outbox
                          union all
                          select position, tenant_id, type, data, topic, partition, false from kernel.event
                      ) e
                      where tenant_id = $1 and type like $2 || '%' order by waits, place";
        sqlx::query_as(events).bind(self.id).bind(prefix).bind(member).fetch_all(sql).await.unwrap()
    }

    /// How often the audit trail tells of an action.
    pub async fn audited(&self, sql: &mut PgConnection, action: &str) -> i64 {
        let count = "select count(*) from kernel.audit_record where tenant_id = $1 and action = $2";
        sqlx::query_scalar(count).bind(self.id).bind(action).fetch_one(sql).await.unwrap()
    }
}

/// Puts the sandbox's clock forward.
pub async fn advance(kernel: &Kernel, hours: i64) {
    let mut sql = kernel.owner_sql("default").await;
    let forward = "update kernel.clock set offset_micros = offset_micros + $1 returning offset_micros";
    let offset_micros: i64 =
        sqlx::query_scalar(forward).bind(hours * 3_600_000_000).fetch_one(&mut sql).await.unwrap();
    let setting = ClockSetting { offset_micros, frozen_at: None };
    kernel.cell("default").await.clock().adjust(setting);
}

pub async fn run(sql: &mut PgConnection, statement: &str, tenant: Uuid) {
    sqlx::query(AssertSqlSafe(statement)).bind(tenant).execute(sql).await.unwrap();
}

/// A plan that the operator makes, with these limits.
pub async fn plan(kernel: &Kernel, name: &str, limits: Value) -> Value {
    let mut all = json!({ "users": 0, "records": 0, "storageBytes": 0, "eventsPerDay": 0, "modules": 0, "rps": 0,
                          "burst": 0 });
    for (limit, most) in limits.as_object().unwrap() {
        all[limit] = most.clone();
    }
    let body = json!({ "name": name, "interval": "monthly", "price": 0, "currency": "USD", "limits": all });
    kernel.operator().post("/api/v1/billing/plans", body).await.expect(201).body
}

/// Gives a tenant a plan.
pub async fn give(kernel: &Kernel, tenant: Uuid, plan: &str) {
    let path = format!("/api/v1/billing/tenants/{tenant}");
    kernel.operator().patch(&path, json!({ "plan": plan })).await.expect(200);
}
