//! Plans: what they cost and what they allow.

use fabric::postgres::{FromRow, Json};
use kernel::{FieldCode, Result, Timestamp, check::Checks};
use ports::{PlanInfo, PlanLimits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The plan of a trial.
pub(crate) const TRIAL: &str = "growth";
/// The plan of the tenant that runs the platform.
pub(crate) const PLATFORM: &str = "sandbox";

/// The largest price and limit: what JSON numbers carry exactly.
pub(crate) const MOST: i64 = (1 << 53) - 1;
/// The largest price, so that a year of the dearest plan with tax stays far from the end of the numbers.
const MOST_PRICE: i64 = 1_000_000_000_000;
const MOST_FEATURES: usize = 50;

/// How often a plan is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Interval {
    /// Each month.
    Monthly,
    /// Each year.
    Yearly,
}

impl Interval {
    pub fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
            Self::Yearly => 12,
        }
    }
}

/// What a plan allows; 0 is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    /// Members that are not deleted.
    pub users: i64,
    /// Records of modules that are not deleted.
    pub records: i64,
    /// Bytes in files.
    pub storage_bytes: i64,
    /// Events published in a day (UTC).
    pub events_per_day: i64,
    /// Installed modules.
    pub modules: i64,
    /// Requests a second.
    pub rps: i64,
    /// Requests at once.
    pub burst: i64,
}

fn limited(most: i64) -> Option<i64> {
    (most > 0).then_some(most)
}

impl Limits {
    /// What `kernel.allowance` says of a tenant with these.
    pub fn allowances(&self) -> [(&'static str, Option<i64>); 5] {
        [
            ("users", limited(self.users)),
            ("records", limited(self.records)),
            ("storageBytes", limited(self.storage_bytes)),
            ("eventsPerDay", limited(self.events_per_day)),
            ("modules", limited(self.modules)),
        ]
    }

    fn check(&self, checks: &mut Checks) {
        let all = [
            ("users", self.users),
            ("records", self.records),
            ("storageBytes", self.storage_bytes),
            ("eventsPerDay", self.events_per_day),
            ("modules", self.modules),
            ("rps", self.rps),
            ("burst", self.burst),
        ];
        for (name, most) in all {
            checks.range(&format!("/limits/{name}"), most, 0, MOST);
        }
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Plan {
    pub id: Uuid,
    pub name: String,
    pub every: Interval,
    /// Minor units.
    pub price: i64,
    pub currency: String,
    pub limits: Json<Limits>,
    pub features: Vec<String>,
    /// Whether tenants may choose it themselves; others are given by the platform.
    pub offered: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i32,
}

impl Plan {
    /// What is wrong with it.
    pub fn check(&self) -> Result<()> {
        let mut checks = Checks::new();
        let mut letters = self.name.chars();
        let well_named = letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && self.name.len() <= 40;
        checks.ensure(
            well_named,
            "/name",
            FieldCode::InvalidFormat,
            "takes 1 to 40 lower-case letters, digits and hyphens, a letter first",
        );
        checks.range("/price", self.price, 0, MOST_PRICE);
        checks.ensure(
            self.currency.len() == 3 && self.currency.bytes().all(|b| b.is_ascii_uppercase()),
            "/currency",
            FieldCode::InvalidFormat,
            "is three capital letters (ISO 4217), like USD",
        );
        self.limits.0.check(&mut checks);
        checks.ensure(
            self.features.len() <= MOST_FEATURES,
            "/features",
            FieldCode::TooLong,
            format!("takes at most {MOST_FEATURES} features"),
        );
        for (at, feature) in self.features.iter().enumerate().take(MOST_FEATURES) {
            checks.length(&format!("/features/{at}"), feature, 1, 100);
        }
        checks.finish()
    }

    /// What it costs in a year: by this plans are weighed.
    pub fn yearly_price(&self) -> i64 {
        self.price.saturating_mul(i64::from(12 / self.every.months()))
    }

    /// As other services see it.
    pub fn info(&self) -> PlanInfo {
        let limits = &self.limits.0;
        PlanInfo {
            id: self.id,
            name: self.name.clone(),
            limits: PlanLimits {
                users: limited(limits.users),
                records: limited(limits.records),
                storage_bytes: limited(limits.storage_bytes),
                events_per_day: limited(limits.events_per_day),
                modules: limited(limits.modules),
                rps: limited(limits.rps),
                burst: limited(limits.burst),
            },
        }
    }
}

#[cfg(test)]
pub(crate) fn sample(name: &str, every: Interval, price: i64) -> Plan {
    let moment = Timestamp::from_micros(0).unwrap();
    Plan {
        id: Uuid::now_v7(),
        name: name.to_owned(),
        every,
        price,
        currency: "USD".to_owned(),
        limits: Json(Limits::default()),
        features: Vec::new(),
        offered: true,
        created_at: moment,
        updated_at: moment,
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_unlimited() {
        let limits = Limits { users: 3, ..Limits::default() };
        let allowances = limits.allowances();
        assert_eq!(allowances[0], ("users", Some(3)));
        assert!(allowances[1..].iter().all(|(_, most)| most.is_none()));
    }

    #[test]
    fn every_mistake_of_a_plan_is_named() {
        let mut plan = sample("Gold!", Interval::Yearly, -1);
        plan.currency = "usd".to_owned();
        plan.limits.0.users = -1;
        plan.features = vec![" ".to_owned()];
        let error = plan.check().unwrap_err();
        let fields: Vec<&str> = error.field_errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["/name", "/price", "/currency", "/limits/users", "/features/0"]);
        assert!(sample("gold-2", Interval::Monthly, 0).check().is_ok());
    }
}
