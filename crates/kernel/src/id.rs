use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A UUID v7 that knows what it identifies, so that a user's id can't be passed for a tenant's.
///
/// Text form: lower case with hyphens. Made from real time whatever the sandbox's clock says; nothing may
/// depend on the order of ids.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

impl<K> Id<K> {
    /// A new id.
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// Gives an existing UUID its kind.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The bare UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K> Default for Id<K> {
    fn default() -> Self {
        Self::new()
    }
}
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl<K> FromStr for Id<K> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self::from_uuid)
    }
}
impl<K> From<Uuid> for Id<K> {
    fn from(uuid: Uuid) -> Self {
        Self::from_uuid(uuid)
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}
impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Uuid::deserialize(d).map(Self::from_uuid)
    }
}
impl<K> schemars::JsonSchema for Id<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uuid" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(feature = "sqlx")]
mod database {
    use super::{Id, Uuid};
    use sqlx::{Postgres, encode::IsNull, error::BoxDynError, postgres::PgHasArrayType};

    impl<K> sqlx::Type<Postgres> for Id<K> {
        fn type_info() -> sqlx::postgres::PgTypeInfo {
            <Uuid as sqlx::Type<Postgres>>::type_info()
        }
        fn compatible(ty: &sqlx::postgres::PgTypeInfo) -> bool {
            <Uuid as sqlx::Type<Postgres>>::compatible(ty)
        }
    }
    impl<K> PgHasArrayType for Id<K> {
        fn array_type_info() -> sqlx::postgres::PgTypeInfo {
            Uuid::array_type_info()
        }
    }
    impl<'q, K> sqlx::Encode<'q, Postgres> for Id<K> {
        fn encode_by_ref(&self, buf: &mut sqlx::postgres::PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            sqlx::Encode::<Postgres>::encode_by_ref(&self.0, buf)
        }
    }
    impl<'r, K> sqlx::Decode<'r, Postgres> for Id<K> {
        fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, BoxDynError> {
            Uuid::decode(value).map(Self::from_uuid)
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $alias:ident),* $(,)?) => {
        /// What an [`Id`] identifies.
        pub mod kind {
            $($(#[$doc])* #[derive(Debug, Clone, Copy)] pub enum $kind {})*
        }
        $($(#[$doc])* pub type $alias = Id<kind::$kind>;)*
    };
}

kinds! {
    /// A customer of the sandbox: the boundary no data crosses.
    Tenant => TenantId,
    /// A person; global in the sandbox, with a membership per tenant.
    User => UserId,
    /// A sign-in of a user to one tenant.
    Session => SessionId,
    /// A named set of permissions of one tenant.
    Role => RoleId,
    /// A key for programs.
    ApiKey => ApiKeyId,
    /// A registered module.
    Module => ModuleId,
    /// A domain event.
    Event => EventId,
    /// A record of the audit trail.
    Audit => AuditId,
    /// A subscription to events.
    Subscription => SubscriptionId,
    /// A durable job.
    Job => JobId,
    /// One request, from wire to answer.
    Request => RequestId,
    /// A wallet.
    Wallet => WalletId,
    /// One movement of money: a transaction of the ledger.
    Transaction => TransactionId,
    /// Any entity that an event or audit record is about.
    Aggregate => AggregateId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_writes() {
        let id = TenantId::new();
        assert_eq!(id.to_string().parse::<TenantId>().unwrap(), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(id.uuid().get_version_num(), 7);
    }
}
