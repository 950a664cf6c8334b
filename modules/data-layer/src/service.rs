//! The operations on records, in the order in which one would tell them.

use std::sync::Arc;

use kernel::{Ctx, Error, FieldError, Result, Slug};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    DataLayer,
    catalogue::{Catalogue, Model},
    query::{
        self, Compiled, CursorKeys, CursorMismatch, ListQuery, MatchQuery, OnBehalf, Outcome, Patch,
        ReadQuery, Records,
    },
    refusal::{self, Purpose},
    request,
    schema::json_schema,
    store::{self, JsonText, Writing},
};

/// The address of a model, as it stands in the path.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub module: String,
    pub model: String,
}

/// A model that the caller's tenant has, with the catalogue it is part of.
#[derive(Clone)]
pub(crate) struct Open {
    pub catalogue: Arc<Catalogue>,
    name: String,
}

impl Open {
    pub fn model(&self) -> &Model {
        self.catalogue.model(&self.name).expect("because a model is opened only when its catalogue has it")
    }

    pub fn refused(&self, error: Error, purpose: Purpose) -> Error {
        refusal::of(error, &self.catalogue, self.model(), purpose)
    }
}

/// One record as JSON text, and its version.
#[derive(Debug)]
pub(crate) struct Versioned {
    pub text: JsonText,
    pub version: i64,
}

/// A model in the list of those that the caller may see.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelOut {
    /// The module.
    pub module: String,
    /// The model.
    pub model: String,
    /// What its author says of it.
    pub description: Option<String>,
    /// What the caller may do with its records: `read`, `write`, `delete`.
    pub allowed: Vec<&'static str>,
}

/// How many records a change of many has reached.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ChangedOut {
    /// Records that were changed.
    pub changed: i64,
}

type RecordRow = (String, i64);
type OutcomeRow = (String, i64, Option<String>);

impl DataLayer {
    /// The models that the caller may read, write or delete in.
    pub(crate) async fn models(&self, cx: &Ctx) -> Result<Vec<ModelOut>> {
        let tenant = cx.tenant()?;
        let snapshot = self.modules.snapshot(cx).await?;
        let mut models = Vec::new();
        for slug in snapshot.installed.get(&tenant).into_iter().flatten() {
            let Some(info) = snapshot.modules.get(slug) else { continue };
            let catalogue = self.catalogues.of(cx, info).await?;
            for model in catalogue.models.values() {
                let may =
                    |verb: &&str| cx.caller().permissions.allow(&permission(&catalogue, &model.name, verb));
                let allowed: Vec<&'static str> =
                    ["read", "write", "delete"].into_iter().filter(may).collect();
                if !allowed.is_empty() {
                    models.push(ModelOut {
                        module: catalogue.module.clone(),
                        model: model.name.clone(),
                        description: model.comment.clone(),
                        allowed,
                    });
                }
            }
        }
        models.sort_by(|a, b| (&a.module, &a.model).cmp(&(&b.module, &b.model)));
        Ok(models)
    }

    /// The model as JSON Schema.
    pub(crate) async fn schema(&self, cx: &Ctx, place: &Place) -> Result<Value> {
        let open = self.open(cx, place).await?;
        Ok(json_schema(&open.catalogue, open.model()))
    }

    /// A page: the whole answer as JSON text, whose records nobody has parsed since Postgres wrote them.
    pub(crate) async fn list(&self, cx: &Ctx, place: &Place, raw: &str) -> Result<String> {
        let open = self.open(cx, place).await?;
        let list = ListQuery::parse(&open.catalogue, open.model(), raw).map_err(Error::fields)?;
        may_read(cx, &open.catalogue, list.models())?;
        let address = format!("data/{}/{}", place.module, place.model);
        let tenant = cx.tenant()?;
        let place: Option<CursorKeys> = match &list.cursor {
            Some(cursor) => Some(self.cursor.read(Some(tenant), &address, cursor)?),
            None => None,
        };
        let page = list.compile(tenant, place.as_ref()).map_err(|CursorMismatch| {
            Error::new(
                Slug::InvalidCursor,
                "The cursor is not of this list with these filters; start again without one.",
            )
        })?;
        let row: Option<(String, Option<String>, bool, Option<i64>)> =
            store::read(&self.db, cx, page.statement)
                .await
                .map_err(|error| open.refused(error, Purpose::Read))?;
        let (data, last, has_more, total) =
            row.ok_or_else(|| Error::internal("a page came without a row"))?;
        let cursor = match last.filter(|_| has_more) {
            None => None,
            Some(last) => {
                let values = serde_json::from_str(&last).map_err(Error::internal)?;
                let keys = CursorKeys { values, fingerprint: page.fingerprint };
                Some(self.cursor.write(Some(tenant), &address, &keys))
            }
        };
        Ok(page_text(&data, cursor.as_deref(), has_more, total))
    }

    /// One record.
    pub(crate) async fn read(&self, cx: &Ctx, place: &Place, id: Uuid, raw: &str) -> Result<Versioned> {
        let open = self.open(cx, place).await?;
        let read = match raw {
            "" => ReadQuery::plain(open.model()),
            raw => ReadQuery::parse(&open.catalogue, open.model(), raw).map_err(Error::fields)?,
        };
        may_read(cx, &open.catalogue, read.models())?;
        let row: Option<RecordRow> = store::read(&self.db, cx, read.compile(cx.tenant()?, id))
            .await
            .map_err(|error| open.refused(error, Purpose::Read))?;
        let (record, version) = row.ok_or_else(|| Error::not_found("record"))?;
        Ok(Versioned { text: JsonText(record), version })
    }

    /// Creates one record, or all of an array; of an array the answer has no version.
    pub(crate) async fn create_records(
        &self,
        cx: &Ctx,
        place: &Place,
        body: Value,
    ) -> Result<(JsonText, Option<i64>)> {
        let open = self.open(cx, place).await?;
        let records = Records::check(open.model(), body).map_err(Error::fields)?;
        let rows: Vec<_> = records.records.iter().map(|record| (Uuid::now_v7(), record)).collect();
        let request = request::told(cx);
        let by = OnBehalf { tenant: cx.tenant()?, request: &request };
        let purpose = if records.many { Purpose::WriteMany } else { Purpose::WriteOne };
        let refused = |error| open.refused(error, purpose);
        let mut writing = Writing::begin(&self.db, cx).await?;
        let (text, version) = if records.many {
            let data: Option<(String,)> =
                writing.run(query::insert_many(by, open.model(), &rows)).await.map_err(refused)?;
            (data.map(|(data,)| format!("{{\"data\":{data}}}")), None)
        } else {
            let row: Option<(String, i64, String)> =
                writing.run(query::insert_rows(by, open.model(), &rows)).await.map_err(refused)?;
            let (version, record) = row.map(|(_, version, record)| (version, record)).unzip();
            (record, version)
        };
        let text = text.ok_or_else(|| Error::internal("an insert came without a row"))?;
        Ok((writing.end(JsonText(text)).await?, version))
    }

    /// Makes records for a seed, with the rights of its context; answers their ids in order.
    ///
    /// # Errors
    /// As making records over HTTP.
    pub async fn insert_records(
        &self,
        cx: &Ctx,
        module: &str,
        model: &str,
        rows: Vec<Value>,
    ) -> Result<Vec<Uuid>> {
        let place = Place { module: module.to_owned(), model: model.to_owned() };
        let (made, _) = self.create_records(cx, &place, Value::Array(rows)).await?;
        #[derive(serde::Deserialize)]
        struct Made {
            data: Vec<MadeRecord>,
        }
        #[derive(serde::Deserialize)]
        struct MadeRecord {
            id: Uuid,
        }
        let made: Made = serde_json::from_str(&made.0).map_err(Error::internal)?;
        Ok(made.data.into_iter().map(|record| record.id).collect())
    }

    /// Sets members of one record.
    pub(crate) async fn change(
        &self,
        cx: &Ctx,
        place: &Place,
        id: Uuid,
        body: Value,
        if_match: Option<i64>,
    ) -> Result<Versioned> {
        let open = self.open(cx, place).await?;
        may_read_it(cx, &open)?;
        let patch = Patch::check(open.model(), body).map_err(Error::fields)?;
        self.write_one(cx, &open, Purpose::WriteOne, |by, model| {
            query::patch(by, model, id, &patch, if_match)
        })
        .await
    }

    /// Sets members of all records that match, or of none when they are too many.
    pub(crate) async fn change_matching(
        &self,
        cx: &Ctx,
        place: &Place,
        raw: &str,
        body: Value,
    ) -> Result<ChangedOut> {
        let open = self.open(cx, place).await?;
        let matching = MatchQuery::parse(&open.catalogue, open.model(), raw).map_err(Error::fields)?;
        may_read(cx, &open.catalogue, matching.models())?;
        let patch = Patch::check(open.model(), body).map_err(Error::fields)?;
        let request = request::told(cx);
        let by = OnBehalf { tenant: cx.tenant()?, request: &request };
        let mut writing = Writing::begin(&self.db, cx).await?;
        let row: Option<(i64, i64)> = writing
            .run(query::change_matching(by, &matching, &patch))
            .await
            .map_err(|error| open.refused(error, Purpose::WriteMany))?;
        let (matched, changed) = row.ok_or_else(|| Error::internal("a change came without a row"))?;
        if matched > i64::from(matching.max) {
            let detail = format!("More than {} records match; none was changed.", matching.max);
            return Err(Error::new(Slug::LimitExceeded, detail));
        }
        writing.end(ChangedOut { changed }).await
    }

    /// Marks one record as deleted.
    pub(crate) async fn delete(
        &self,
        cx: &Ctx,
        place: &Place,
        id: Uuid,
        if_match: Option<i64>,
    ) -> Result<()> {
        let open = self.open(cx, place).await?;
        let delete = |by: OnBehalf<'_>, model: &Model| query::soft_delete(by, model, id, if_match);
        self.write_one(cx, &open, Purpose::WriteOne, delete).await.map(drop)
    }

    /// Takes the mark of deletion off one record.
    pub(crate) async fn restore(
        &self,
        cx: &Ctx,
        place: &Place,
        id: Uuid,
        if_match: Option<i64>,
    ) -> Result<Versioned> {
        let open = self.open(cx, place).await?;
        may_read_it(cx, &open)?;
        let restore = |by: OnBehalf<'_>, model: &Model| query::restore(by, model, id, if_match);
        self.write_one(cx, &open, Purpose::WriteOne, restore).await
    }

    /// Removes one record that is marked as deleted.
    pub(crate) async fn delete_for_ever(
        &self,
        cx: &Ctx,
        place: &Place,
        id: Uuid,
        if_match: Option<i64>,
    ) -> Result<()> {
        let open = self.open(cx, place).await?;
        let remove = |by: OnBehalf<'_>, model: &Model| query::delete_for_ever(by, model, id, if_match);
        self.write_one(cx, &open, Purpose::Remove, remove).await.map(drop)
    }

    /// The model, if its module is installed and enabled for the caller's tenant.
    pub(crate) async fn open(&self, cx: &Ctx, place: &Place) -> Result<Open> {
        let absent = || Error::not_found("model");
        let tenant = cx.tenant()?;
        let snapshot = self.modules.snapshot(cx).await?;
        let module = snapshot.for_tenant(tenant, &place.module).ok_or_else(absent)?;
        let catalogue = self.catalogues.of(cx, module).await?;
        if catalogue.model(&place.model).is_none() {
            return Err(absent());
        }
        Ok(Open { catalogue, name: place.model.clone() })
    }

    async fn write_one(
        &self,
        cx: &Ctx,
        open: &Open,
        purpose: Purpose,
        compile: impl FnOnce(OnBehalf<'_>, &Model) -> Compiled,
    ) -> Result<Versioned> {
        let request = request::told(cx);
        let by = OnBehalf { tenant: cx.tenant()?, request: &request };
        let mut writing = Writing::begin(&self.db, cx).await?;
        let row: Option<OutcomeRow> =
            writing.run(compile(by, open.model())).await.map_err(|error| open.refused(error, purpose))?;
        let (outcome, version, record) = row.ok_or_else(|| Error::not_found("record"))?;
        match (Outcome::read(&outcome), record) {
            (Some(Outcome::Done), Some(record)) => {
                let text = writing.end(JsonText(record)).await?;
                Ok(Versioned { text, version })
            }
            (Some(Outcome::Stale), _) => Err(Error::new(
                Slug::PreconditionFailed,
                format!(
                    "The record is in version {version} now; read it again and apply your change to that."
                ),
            )),
            (Some(Outcome::Live), _) if purpose == Purpose::Remove => Err(Error::new(
                Slug::InvalidState,
                "Only a deleted record can be removed for ever; delete it first.",
            )),
            (Some(Outcome::Live), _) => Err(Error::new(Slug::InvalidState, "The record is not deleted.")),
            _ => Err(Error::internal(format!("a write answered with the outcome {outcome:?}"))),
        }
    }
}

fn permission(catalogue: &Catalogue, model: &str, verb: &str) -> String {
    format!("{}.{model}.{verb}", catalogue.module)
}

/// Whether the caller may read every model that an answer shows or a filter asks about.
pub(crate) fn may_read<'m>(
    cx: &Ctx,
    catalogue: &Catalogue,
    models: impl IntoIterator<Item = &'m &'m str>,
) -> Result<()> {
    for model in models {
        let wanted = permission(catalogue, model, "read");
        if !cx.caller().permissions.allow(&wanted) {
            return Err(Error::forbidden(&wanted));
        }
    }
    Ok(())
}

/// A change answers with the whole record, so it takes the right to see it; else an empty PATCH would be a way to read.
fn may_read_it(cx: &Ctx, open: &Open) -> Result<()> {
    may_read(cx, &open.catalogue, [&open.model().name.as_str()])
}

fn page_text(data: &str, cursor: Option<&str>, has_more: bool, total: Option<i64>) -> String {
    let mut text = String::with_capacity(data.len() + cursor.map_or(0, str::len) + 80);
    text += "{\"data\":";
    text += data;
    text += ",\"meta\":{\"cursor\":";
    match cursor {
        // Base64 needs no escapes.
        Some(cursor) => {
            text.push('"');
            text += cursor;
            text.push('"');
        }
        None => text += "null",
    }
    text += if has_more { ",\"hasMore\":true" } else { ",\"hasMore\":false" };
    if let Some(total) = total {
        text += ",\"total\":";
        text += &total.to_string();
    }
    text + "}}"
}

/// What was wrong with a line or body, for a report.
pub(crate) fn mistakes(error: &Error) -> Vec<FieldError> {
    match error.field_errors() {
        [] => vec![FieldError::new("", kernel::FieldCode::NotAllowed, error.detail())],
        fields => fields.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_put_together_around_the_text_of_postgres() {
        let text = page_text("[{\"a\":1}]", Some("abc"), true, Some(7));
        let page: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            page,
            serde_json::json!({ "data": [{ "a": 1 }], "meta": { "cursor": "abc", "hasMore": true, "total": 7 } })
        );
        assert_eq!(
            page_text("[]", None, false, None),
            r#"{"data":[],"meta":{"cursor":null,"hasMore":false}}"#
        );
    }
}
