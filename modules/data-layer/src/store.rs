//! All statements of this service: how a module's catalogue is read, and how compiled statements run.

use std::{collections::BTreeMap, sync::Arc};

use fabric::postgres::{Database, FromRow, Handle, Json, Query, Reason, Tx};
use kernel::{Ctx, Error, ModuleSlug, Result, TenantId};
use moka::future::Cache;
use ports::ModuleInfo;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;

use crate::{
    catalogue::{Catalogue, CatalogueRows, FieldRules},
    query::{Compiled, Param},
};

/// Catalogues kept at the same time: one per installed module, so this is far above what a sandbox has.
const KEPT: u64 = 256;

/// The catalogues of the sandbox's modules, each read once per revision of its module.
pub(crate) struct Catalogues {
    db: Database,
    kept: Cache<(ModuleSlug, i64), Arc<Catalogue>>,
}

impl Catalogues {
    pub fn new(db: Database) -> Self {
        Self { db, kept: Cache::new(KEPT) }
    }

    /// The catalogue of a module as it is now. Callers that ask for it at the same time read it once.
    pub async fn of(&self, cx: &Ctx, module: &ModuleInfo) -> Result<Arc<Catalogue>> {
        let key = (module.slug.clone(), module.revision);
        self.kept.try_get_with(key, self.read(cx, module)).await.map_err(|error: Arc<Error>| {
            Error::new(error.slug(), error.detail().to_owned()).because(format!("{error:?}"))
        })
    }

    async fn read(&self, cx: &Ctx, module: &ModuleInfo) -> Result<Arc<Catalogue>> {
        let schema = format!("module_{}", module.slug);
        let rows: Option<Json<CatalogueRows>> = self
            .db
            .system(cx, Reason::Modules)
            .query(CATALOGUE)
            .bind(schema.clone())
            .optional_value()
            .await?;
        let mut rows = rows.map(|Json(rows)| rows).unwrap_or_default();
        // Only what the manifest offers is a model; a relation to anything else does not exist.
        rows.tables.retain(|row| module.models.contains_key(&row.table));
        let rules: BTreeMap<String, FieldRules> = module
            .models
            .iter()
            .map(|(model, rules)| {
                let hidden = rules.hidden.iter().cloned().collect();
                let read_only = rules.read_only.iter().cloned().collect();
                (model.clone(), FieldRules { hidden, read_only })
            })
            .collect();
        let (catalogue, unusable) = Catalogue::build(module.slug.as_str(), &schema, rows, &rules);
        for table in unusable {
            tracing::warn!(module = %module.slug, table = table.table, reason = table.reason, "table is no model");
        }
        Ok(Arc::new(catalogue))
    }
}

/// One value: a [`CatalogueRows`] as JSON, or no row when there is no such schema.
const CATALOGUE: &str = fabric::sql!(
    "select json_build_object(
       'tables', (
         select coalesce(json_agg(json_build_object(
                  'table', c.relname, 'comment', obj_description(c.oid, 'pg_class')) order by c.relname), '[]')
         from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p')),
       'columns', (
         select coalesce(json_agg(json_build_object(
                  'table', c.relname,
                  'column', a.attname,
                  'type_schema', tn.nspname,
                  'type_name', base.typname,
                  'modifier', case when own.typtype = 'd' then own.typtypmod else a.atttypmod end,
                  'is_array', flat.typelem <> 0 and flat.typcategory = 'A',
                  'enum_values', (select coalesce(json_agg(e.enumlabel order by e.enumsortorder), '[]')
                                  from pg_enum e where e.enumtypid = base.oid),
                  'not_null', a.attnotnull or own.typnotnull,
                  'has_default', a.atthasdef or a.attidentity <> '' or own.typdefault is not null,
                  'generated', a.attgenerated <> '' or a.attidentity = 'a',
                  'comment', col_description(c.oid, a.attnum)) order by c.relname, a.attnum), '[]')
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         join pg_type own on own.oid = a.atttypid
         join pg_type flat on flat.oid = case when own.typtype = 'd' then own.typbasetype else own.oid end
         join pg_type base on base.oid = case when flat.typelem <> 0 and flat.typcategory = 'A' then flat.typelem
                                              else flat.oid end
         join pg_namespace tn on tn.oid = base.typnamespace
         where c.relnamespace = n.oid and c.relkind in ('r', 'p')),
       'constraints', (
         select coalesce(json_agg(k), '[]') from (
           select c.relname as \"table\", k.conname as name,
                  case k.contype when 'f' then 'foreign' else 'check' end as kind,
                  array(select a.attname::text from unnest(k.conkey) with ordinality u(n, o)
                        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n order by u.o) as columns,
                  f.relname as target_table,
                  array(select a.attname::text from unnest(k.confkey) with ordinality u(n, o)
                        join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.n order by u.o)
                    as target_columns
           from pg_constraint k
           join pg_class c on c.oid = k.conrelid
           left join pg_class f on f.oid = k.confrelid and f.relnamespace = n.oid
           where k.connamespace = n.oid and k.contype in ('f', 'c') and k.conparentid = 0
           union all
           select c.relname, i.relname, 'unique',
                  array(select a.attname::text from unnest(x.indkey::int2[]) with ordinality u(n, o)
                        join pg_attribute a on a.attrelid = c.oid and a.attnum = u.n
                        where u.o <= x.indnkeyatts order by u.o),
                  null, '{}'
           from pg_index x
           join pg_class i on i.oid = x.indexrelid
           join pg_class c on c.oid = x.indrelid
           where c.relnamespace = n.oid and x.indisunique and x.indexprs is null) k))
     from pg_namespace n where n.nspname = $1::text"
);

/// JSON that Postgres wrote, on its way out as it is.
#[derive(Debug)]
pub(crate) struct JsonText(pub String);

impl Serialize for JsonText {
    /// For the kept answer of a repeatable request; the text itself goes to the socket.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Reads: the first row that a compiled statement answers.
pub(crate) async fn read<R>(db: &Database, cx: &Ctx, compiled: Compiled) -> Result<Option<R>>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let handle = db.records(cx)?;
    let Compiled { sql, params, reusable } = compiled;
    let tenant = handle.bound_to();
    bound(handle.composed(sql).kept(reusable), tenant, params)?.optional().await
}

/// A write under way. A request without an Idempotency-Key is one statement that commits itself; one with a key runs
/// in a transaction with its answer.
pub(crate) struct Writing {
    db: Database,
    work: Work,
}

enum Work {
    Alone(Handle),
    Together(Box<Tx>, Option<TenantId>),
}

impl Writing {
    /// Begins. For a request that was answered before, the answer comes back as [`Error::replay`].
    pub async fn begin(db: &Database, cx: &Ctx) -> Result<Self> {
        let handle = db.records(cx)?;
        let work = match cx.idempotency() {
            None => Work::Alone(handle),
            Some(_) => Work::Together(Box::new(handle.begin().await?), handle.bound_to()),
        };
        Ok(Self { db: db.clone(), work })
    }

    /// Runs the one statement of this write: its first row.
    pub async fn run<R>(&mut self, compiled: Compiled) -> Result<Option<R>>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let Compiled { sql, params, reusable } = compiled;
        let query = match &mut self.work {
            Work::Alone(handle) => bound(handle.composed(sql), handle.bound_to(), params)?,
            Work::Together(tx, tenant) => bound(tx.composed(sql), *tenant, params)?,
        };
        query.kept(reusable).optional().await
    }

    /// Commits with the answer, and says that something was written: the triggers left an event and an audit record.
    pub async fn end<A: Serialize>(self, answer: A) -> Result<A> {
        let answer = match self.work {
            Work::Alone(_) => answer,
            Work::Together(tx, _) => tx.commit(answer).await?,
        };
        self.db.note_written();
        Ok(answer)
    }
}

/// Binds the values. The handle has bound its tenant as `$1` already, and it must be the one that the statement was
/// compiled for.
fn bound(query: Query<'_>, tenant: Option<TenantId>, params: Vec<Param>) -> Result<Query<'_>> {
    let mut params = params.into_iter();
    match (params.next(), tenant) {
        (Some(Param::Uuid(compiled_for)), Some(tenant)) if compiled_for == tenant.uuid() => {}
        _ => {
            return Err(Error::internal(
                "a statement was compiled for another tenant than its handle is bound to",
            ));
        }
    }
    Ok(params.fold(query, |query, param| match param {
        Param::Uuid(value) => query.bind(value),
        Param::Int(value) => query.bind(value),
        Param::Text(value) => query.bind(value),
        Param::Texts(values) => query.bind(values),
    }))
}
