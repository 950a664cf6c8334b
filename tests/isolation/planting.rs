//! Planting: a tenant with something of everything, each text marked with its word.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use testkit::{Answer, Api};
use uuid::Uuid;

use crate::{
    crm,
    knowledge::Knowledge,
    requests,
    routes::{Address, Hole},
    stage::id_in,
    tables::Table,
};

/// The password with which tenants are registered.
pub const PASSWORD: &str = "correct horse battery";

/// What stands in a hidden column: not even its own tenant is told.
const HIDDEN: &str = "hidden from everybody";

/// A tenant and what it has.
pub struct Tenant {
    /// The word that stands in all its texts.
    pub mark: &'static str,
    pub id: Uuid,
    /// Its name in hosts.
    pub slug: String,
    /// Its Owner.
    pub owner: Api,
    pub email: String,
    /// A user whose role grants nothing.
    pub nobody: Api,
    /// An API key and a module key.
    pub keys: Vec<String>,
    /// What was made, in order.
    pub planted: Vec<Planted>,
    /// Operations whose example made nothing, and what they said.
    pub unplanted: Vec<String>,
    /// Its ids.
    pub knows: Knowledge,
    /// One of its things for each collection: `users` → an id.
    natural: BTreeMap<String, Uuid>,
}

/// A request that made something.
#[derive(Clone)]
pub struct Planted {
    pub path: String,
    pub body: Value,
    pub key: Uuid,
    pub status: u16,
    /// What it made.
    pub id: Option<String>,
}

impl Tenant {
    /// One of its things for a hole of an address.
    pub fn natural(&self, hole: &Hole) -> Option<Uuid> {
        self.natural.get(&hole.after).copied()
    }

    /// One of its things for a member of a body: of `companies` for `company_id`, of `roles` for `roleIds`.
    pub fn natural_member(&self, member: &str) -> Option<Uuid> {
        let name =
            ["Ids", "Id", "_ids", "_id"].iter().find_map(|end| member.strip_suffix(end))?.to_lowercase();
        let plural = name.strip_suffix('y').map_or_else(|| format!("{name}s"), |start| format!("{start}ies"));
        self.natural.get(&plural).copied()
    }

    /// One of its things for every hole; random where it has none.
    pub fn naturals(&self, address: &Address) -> Vec<Uuid> {
        address.holes().iter().map(|hole| self.natural(hole).unwrap_or_else(Uuid::now_v7)).collect()
    }

    /// Makes something and remembers it.
    async fn make(&mut self, path: &str, body: Value) -> Answer {
        let key = Uuid::now_v7();
        let answer = requests::post(&self.owner, path, &body, &key.to_string()).await;
        if answer.status.is_success() {
            let (path, status, id) = (path.to_owned(), answer.status.as_u16(), id_in(&answer.body));
            self.planted.push(Planted { path, body, key, status, id });
        }
        answer
    }

    /// Reads all that the tenant is told of itself, and its rows.
    pub async fn learn(&mut self, addresses: &[Address], owner: &mut PgConnection, tables: &[Table]) {
        let mut reads: Vec<&Address> =
            addresses.iter().filter(|a| a.is_get() && !a.is_public() && !a.is_above_tenants()).collect();
        reads.sort_by_key(|address| address.holes().len());
        for address in reads {
            let ids: Option<Vec<Uuid>> = address.holes().iter().map(|hole| self.natural(hole)).collect();
            let Some(ids) = ids else { continue };
            let answer = self.owner.get(&address.filled(&ids)).await;
            assert!(
                !answer.text.contains(HIDDEN),
                "a hidden column is told by {}: {}",
                answer.asked,
                answer.text
            );
            if !answer.status.is_success() {
                continue;
            }
            self.knows.note(&address.label(), &answer.body);
            let first = answer.body["data"].as_array().and_then(|data| data.first()).and_then(id_in);
            if let (Some(Ok(id)), Some(last)) =
                (first.map(|id| id.parse()), address.template().rsplit('/').next())
            {
                self.natural.entry(last.to_owned()).or_insert(id);
            }
        }
        for Table { name, .. } in tables {
            let rows = format!("select to_jsonb(t) from {name} t where tenant_id = $1 limit 1000");
            let rows: Vec<Value> =
                sqlx::query_scalar(AssertSqlSafe(rows)).bind(self.id).fetch_all(&mut *owner).await.unwrap();
            for row in rows {
                for (column, value) in row.as_object().unwrap() {
                    self.knows.note(&format!("{name}.{column}"), value);
                }
            }
        }
    }
}

/// Registers a tenant and plants something of everything.
pub async fn plant(api: &Api, addresses: &[Address], mark: &'static str) -> Tenant {
    let (owner, body) = api.register(&format!("{mark} ltd")).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut tenant = Tenant {
        mark,
        id: text(&body["tenant"]["id"]).parse().unwrap(),
        slug: text(&body["tenant"]["slug"]),
        email: text(&body["user"]["email"]),
        nobody: owner.stranger(),
        owner,
        keys: Vec::new(),
        planted: Vec::new(),
        unplanted: Vec::new(),
        knows: Knowledge::new(mark),
        natural: BTreeMap::new(),
    };
    tenant.owner.sign_in(&tenant.email, PASSWORD).await;
    tenant.make("/api/v1/modules/crm/install", json!({})).await.expect(200);
    let key = tenant.make("/api/v1/modules/crm/keys", json!({})).await.expect(201);
    tenant.keys.extend(key.body["key"].as_str().map(str::to_owned));
    people(&mut tenant).await;
    records(&mut tenant).await;
    examples(&mut tenant, addresses).await;
    events(&mut tenant).await;
    outward(&mut tenant).await;
    money(&mut tenant).await;
    tenant
}

/// A role that grants nothing, somebody who holds it, a key.
async fn people(tenant: &mut Tenant) {
    let mark = tenant.mark;
    let role = json!({ "name": format!("Nothing {mark}"), "permissions": [] });
    let role = tenant.make("/api/v1/roles", role).await.expect(201).id();
    let email = format!("nobody@{mark}.example");
    let user =
        json!({ "email": email, "name": format!("Nobody {mark}"), "password": PASSWORD, "roleIds": [role] });
    tenant.make("/api/v1/users", user).await.expect(201);
    tenant.nobody = tenant.owner.sign_in(&email, PASSWORD).await;
    let key = json!({ "name": format!("key of {mark}"), "permissions": ["users.list"] });
    let key = tenant.make("/api/v1/api-keys", key).await.expect(201);
    tenant.keys.extend(key.body["key"].as_str().map(str::to_owned));
}

async fn records(tenant: &mut Tenant) {
    for number in 0..3 {
        let mut earlier = Vec::new();
        for model in crm::MODELS {
            let record = crm::record(model, tenant.mark, number, &earlier);
            earlier.push(tenant.make(&format!("/api/v1/data/crm/{model}"), record).await.expect(201).id());
        }
    }
}

/// A schema, a dead letter and a delivery in somebody's hands.
async fn events(tenant: &mut Tenant) {
    let mark = tenant.mark;
    let schema = json!({ "type": "object", "title": format!("What {mark} imports"),
                         "properties": { "id": { "type": "string" } } });
    let schema = json!({ "type": "crm.contact.imported", "version": "1.0.0", "schema": schema });
    tenant.make("/api/v1/events/schemas", schema).await.expect(201);
    let wish = json!({ "types": ["crm.deal.won"], "consumerGroup": format!("ears-of-{mark}"), "fromBeginning": true,
                       "maxRetries": 0 });
    let subscription = tenant.make("/api/v1/events/subscriptions", wish).await.expect(201).id();
    for number in 0..2 {
        let event = json!({ "type": "crm.deal.won", "key": format!("{mark}-{number}"),
                            "data": { "id": format!("{mark}-{number}"), "title": format!("won by {mark}") } });
        tenant.make("/api/v1/events/publish", event).await.expect(202);
        let event = pulled(&tenant.owner, &subscription).await;
        if number == 0 {
            let failed =
                json!({ "failed": [{ "eventId": event, "error": format!("{mark} did not like it") }] });
            tenant
                .owner
                .post(&format!("/api/v1/events/subscriptions/{subscription}/ack"), failed)
                .await
                .expect(200);
        }
    }
}

/// A call that a provider answered, and one that failed for good.
async fn outward(tenant: &mut Tenant) {
    let mark = tenant.mark;
    // Nobody listens at port 1.
    for (name, address, status) in [("near", "kernel://echo", 200), ("far", "http://127.0.0.1:1", 502)] {
        let provider = json!({ "name": format!("{name} {mark}"), "type": "custom", "baseUrl": address, "authType": "none",
                               "config": { "retries": 0 } });
        let provider = tenant.make("/api/v1/integrations/providers", provider).await.expect(201).id();
        let call = json!({ "providerId": provider, "method": "POST", "path": format!("/{mark}"),
                           "body": { "text": format!("said by {mark}") } });
        tenant.make("/api/v1/integrations/call", call).await.expect(status);
    }
}

/// The next event of a subscription; the relay gives it its place in the log a moment after it was published.
async fn pulled(owner: &Api, subscription: &str) -> String {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let path = format!("/api/v1/events/subscriptions/{subscription}/pull");
        let answer = owner.post(&path, json!({ "max": 1 })).await.expect(200);
        if let Some(id) = answer.body["data"][0]["event"]["id"].as_str() {
            return id.to_owned();
        }
        assert!(Instant::now() < give_up, "no event came: {}", answer.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A wallet with money, some of it set aside. The Owner's own wallet is there, too: it follows the tenant by itself.
async fn money(tenant: &mut Tenant) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !tenant.owner.get("/api/v1/wallets").await.data().iter().any(|wallet| wallet["kind"] == "owner") {
        assert!(Instant::now() < give_up, "the Owner got no wallet");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let wallet = json!({ "currency": "EUR", "label": format!("purse of {}", tenant.mark) });
    let wallet = tenant.make("/api/v1/wallets", wallet).await.expect(201).id();
    let credit = json!({ "amount": 5_000, "description": format!("for {}", tenant.mark) });
    tenant.make(&format!("/api/v1/wallets/{wallet}/credit"), credit).await.expect(201);
    tenant.make(&format!("/api/v1/wallets/{wallet}/hold"), json!({ "amount": 1_000 })).await.expect(201);
}

/// What every operation that makes something gives as its example: so new resources are planted without anyone saying.
async fn examples(tenant: &mut Tenant, addresses: &[Address]) {
    let makers = addresses.iter().filter(|address| {
        let makes =
            matches!(address.operation.answer.0, 201 | 202) && address.operation.method == Method::POST;
        makes
            && address.is_by_permission()
            && address.holes().is_empty()
            && !address.template().starts_with("/api/v1/data/")
    });
    for address in makers {
        let Some(example) = address.operation.example else { continue };
        let example: Value = serde_json::from_str(example).unwrap();
        let mut spared = Vec::new();
        // Names and texts are marked; what may not be is named by the refusal, and left as it stands.
        let mut said = String::new();
        for _ in 0..4 {
            let body = marked(&example, "", tenant.mark, &spared);
            let answer = tenant.make(address.template(), body).await;
            said = if answer.status.is_success() {
                String::new()
            } else {
                format!("{} {}", answer.status, answer.body["detail"])
            };
            if answer.status != 400 {
                break;
            }
            let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
            spared.extend(errors.iter().filter_map(|error| error["field"].as_str().map(str::to_owned)));
        }
        if !said.is_empty() {
            tenant.unplanted.push(format!("{}: {said}", address.label()));
        }
    }
}

fn marked(value: &Value, at: &str, mark: &str, spared: &[String]) -> Value {
    match value {
        _ if spared.iter().any(|spared| spared == at) => value.clone(),
        Value::String(text) if Uuid::try_parse(text).is_ok() => value.clone(),
        Value::String(text) => match text.split_once('@') {
            Some((name, _)) => json!(format!("{name}@{mark}.example")),
            None => json!(format!("{text} {mark}")),
        },
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(n, value)| marked(value, &format!("{at}/{n}"), mark, spared))
            .collect(),
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), marked(value, &format!("{at}/{name}"), mark, spared)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// Tables that no request fills at once, and how a row gets there: `$1` is the tenant, `$2` its word.
const BY_HAND: [(&str, &str); 7] = [
    ("kernel.allowance", "insert into kernel.allowance (tenant_id, name, used, most) values ($1, $2, 1, 5)"),
    (
        "kernel.allowance_share",
        "insert into kernel.allowance_share (tenant_id, name, slot, room) values ($1, $2, 0, 1)",
    ),
    (
        "billing.usage",
        "insert into billing.usage (tenant_id, day, what, amount) values ($1, date '2026-01-01', $2, 1)",
    ),
    (
        "kernel.job",
        "insert into kernel.job (id, tenant_id, kind, payload, due_at)
         values (kernel.new_id(), $1, 'planted', jsonb_build_object('word', $2), kernel.now() + interval '1 year')",
    ),
    // An example can't know a member's id, and there is no POST for wishes.
    (
        "notify.inbox_entry",
        "insert into notify.inbox_entry (id, tenant_id, user_id, type, subject, body)
         select kernel.new_id(), $1, user_id, 'planted', $2, $2 from iam.member_role where tenant_id = $1 and owner",
    ),
    (
        "notify.preference",
        "insert into notify.preference (tenant_id, user_id, rules)
         select $1, user_id, jsonb_build_array(jsonb_build_object('type', lower($2), 'enabled', false))
         from iam.member_role where tenant_id = $1 and owner",
    ),
    (
        "files.upload",
        "insert into files.upload (id, tenant_id, bucket, reserved) select kernel.new_id(), $1, 'documents', length($2)",
    ),
];

/// Fills the tables that are still without a row of the tenant.
pub async fn fill(admin: &mut PgConnection, tables: &[Table], tenant: &Tenant) {
    for (name, statement) in BY_HAND {
        let Some(table) = tables.iter().find(|table| table.name == name) else { continue };
        if table.rows_of(admin, tenant.id).await == 0 {
            sqlx::query(statement).bind(tenant.id).bind(tenant.mark).execute(&mut *admin).await.unwrap();
        }
    }
    // Without it, transfers would be refused before anybody looks at their wallets.
    let verified = "update iam.user_account set email_verified_at = kernel.now() where email = $1";
    sqlx::query(verified).bind(&tenant.email).execute(&mut *admin).await.unwrap();
    // A column that the manifest hides is filled by the module's own migrations only.
    let hidden = "update module_crm.deals set internal_note = $2 where tenant_id = $1";
    sqlx::query(hidden).bind(tenant.id).bind(HIDDEN).execute(&mut *admin).await.unwrap();
}
