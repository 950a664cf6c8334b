use std::sync::Arc;

use kernel::{Actor, Caller, ClockSetting, Ctx, IdempotencyKey, Permissions, SessionId, TenantId, UserId};
use money::Money;
use reqwest::Method;
use sandbox::Cell;
use serde_json::{Value, json};
use sqlx::PgConnection;
use testkit::{Answer, Api, Kernel, until};
use uuid::Uuid;

/// A kernel with a tenant whose Owner has a wallet and a verified address.
pub struct Stage {
    pub kernel: Kernel,
    pub cell: Arc<Cell>,
    pub sql: PgConnection,
    pub owner: Api,
    pub tenant: TenantId,
    pub user: UserId,
    pub email: String,
}

impl Stage {
    pub async fn open() -> Self {
        let kernel = Kernel::empty().await;
        let cell = kernel.cell("default").await;
        let mut sql = kernel.owner_sql("default").await;
        let (owner, body) = kernel.api().register("Acme").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let email = text(&body["user"]["email"]);
        verify(&mut sql, &email).await;
        // It follows the tenant by itself; no story is to hear of it in its middle.
        until("the Owner's own wallet", async || owner.get("/api/v1/wallets").await.data().len() == 1).await;
        Self {
            tenant: text(&body["tenant"]["id"]).parse().unwrap(),
            user: text(&body["user"]["id"]).parse().unwrap(),
            kernel,
            cell,
            sql,
            owner,
            email,
        }
    }

    pub fn money(&self) -> &Arc<Money> {
        &self.cell.services().money
    }

    /// The Owner's context, with a key of its own.
    pub fn cx(&self) -> Ctx {
        self.cx_with(Uuid::now_v7())
    }

    /// The Owner's context, repeatable under this key.
    pub fn cx_with(&self, key: Uuid) -> Ctx {
        let actor =
            Actor::User { id: self.user, session: SessionId::new(), email: self.email.as_str().into() };
        let permissions = Arc::new(Permissions::new(["*"]));
        Ctx::build(self.cell.name().clone(), self.cell.clock().clone())
            .caller(Caller { tenant: Some(self.tenant), actor, permissions })
            .finish()
            .with_idempotency(Some(IdempotencyKey { key, fingerprint: [1; 32] }))
    }

    /// A wallet of the Owner with this much in it.
    pub async fn wallet(&self, currency: &str, has: i64) -> String {
        let made = self.owner.post("/api/v1/wallets", json!({ "currency": currency })).await.expect(201).id();
        if has > 0 {
            self.act(&made, "credit", json!({ "amount": has })).await.expect(201);
        }
        made
    }

    /// `POST /wallets/{wallet}/{action}` with a fresh key.
    pub async fn act(&self, wallet: &str, action: &str, body: Value) -> Answer {
        self.keyed(&format!("/api/v1/wallets/{wallet}/{action}"), body, Uuid::now_v7()).await
    }

    pub async fn transfer(&self, from: &str, to: &str, amount: i64) -> Answer {
        let body = json!({ "from": from, "to": to, "amount": amount });
        self.keyed("/api/v1/transfers", body, Uuid::now_v7()).await
    }

    pub async fn keyed(&self, path: &str, body: Value, key: Uuid) -> Answer {
        keyed(&self.owner, path, body, key).await
    }

    /// Available and frozen.
    pub async fn has(&self, wallet: &str) -> (i64, i64) {
        let balance = self.owner.get(&format!("/api/v1/wallets/{wallet}/balance")).await.expect(200).body;
        assert_eq!(balance["pending"], 0);
        (balance["available"].as_i64().unwrap(), balance["frozen"].as_i64().unwrap())
    }

    /// The types of all that was told of the tenant's money, in order.
    pub async fn told(&mut self) -> Vec<String> {
        let told = "select type from (
                        select type, id, at from kernel.outbox where tenant_id = $1 and type like 'money.%'
                        union all
                        select type, id, at from kernel.event where tenant_id = $1 and type like 'money.%') e
                    order by id";
        sqlx::query_scalar(told).bind(self.tenant.uuid()).fetch_all(&mut self.sql).await.unwrap()
    }

    /// The actions of the audit records about money, in order.
    pub async fn kept(&mut self) -> Vec<String> {
        let kept = "select action from kernel.audit_record where tenant_id = $1 and action like 'money.%' order by arrival";
        sqlx::query_scalar(kept).bind(self.tenant.uuid()).fetch_all(&mut self.sql).await.unwrap()
    }

    pub async fn count(&mut self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table} where tenant_id = $1"));
        sqlx::query_scalar(count).bind(self.tenant.uuid()).fetch_one(&mut self.sql).await.unwrap()
    }

    /// Everything adds up, and over all accounts to zero.
    pub async fn adds_up(&self) {
        let found = self.owner.get("/api/v1/ledger/verify").await.expect(200).body;
        assert_eq!(found["valid"], true, "{found}");
        let accounts = self.owner.get("/api/v1/ledger/accounts").await.expect(200);
        for total in found["totals"].as_array().unwrap() {
            let of_currency =
                accounts.data().iter().filter(|account| account["currency"] == total["currency"]);
            assert_eq!(of_currency.map(|account| account["balance"].as_i64().unwrap()).sum::<i64>(), 0);
        }
    }

    /// Sets the sandbox's clock ahead.
    pub async fn later(&mut self, seconds: i64) {
        let ahead: i64 = sqlx::query_scalar(
            "update kernel.clock set offset_micros = offset_micros + $1 * 1000000 returning offset_micros",
        )
        .bind(seconds)
        .fetch_one(&mut self.kernel.admin_sql("pk_default").await)
        .await
        .unwrap();
        self.cell.clock().adjust(ClockSetting { offset_micros: ahead, frozen_at: None });
    }

    pub async fn close(self) {
        drop(self.sql);
        drop(self.cell);
        self.kernel.close().await;
    }
}

pub async fn keyed(api: &Api, path: &str, body: Value, key: Uuid) -> Answer {
    api.send(Method::POST, path, Some(body), &[("idempotency-key", &key.to_string())]).await
}

pub async fn verify(sql: &mut PgConnection, email: &str) {
    let done = sqlx::query("update iam.user_account set email_verified_at = kernel.now() where email = $1")
        .bind(email)
        .execute(sql)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
}
