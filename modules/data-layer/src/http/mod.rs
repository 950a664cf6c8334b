//! The operations of this service.

mod bulk;
mod models;
mod records;
mod wire;

use std::sync::Arc;

use kernel::Slug;
use ports::http::{Access, Operation, Routes, ServiceRoutes};

use self::wire::{
    ChangesIn, ExportParameters, ListParameters, MatchParameters, RecordOut, RecordsIn, SelectParameters,
};
use crate::{
    DataLayer,
    import::Report,
    service::{ChangedOut, ModelOut},
};

const READ: Access = Access::PathPermission("{module}.{model}.read");
const WRITE: Access = Access::PathPermission("{module}.{model}.write");
const DELETE: Access = Access::PathPermission("{module}.{model}.delete");

const LIST: &str = "/data/{module}/{model}";
const ONE: &str = "/data/{module}/{model}/{id}";

pub(crate) fn routes(me: Arc<DataLayer>) -> ServiceRoutes {
    Routes::new("data-layer", me)
        .add(
            Operation::get("/data", "listModels", Access::Authenticated)
                .summary("The models of installed modules in which the caller may read, write or delete.")
                .lists::<ModelOut>(),
            models::list,
        )
        .add(
            Operation::get("/data/{module}/{model}/schema", "getModelSchema", READ)
                .summary("A model as JSON Schema.")
                .description("JSON Schema 2020-12, made from the table itself. Relations, which `select` adds to records, stand under `x-relations`.")
                .answer::<serde_json::Value>(200),
            models::schema,
        )
        .add(
            Operation::get(LIST, "listRecords", READ)
                .summary("List records.")
                .description(wire::FILTERS)
                .query::<ListParameters>()
                .lists::<RecordOut>()
                .problems(&[Slug::InvalidCursor]),
            records::list,
        )
        .add(
            Operation::post(LIST, "createRecords", WRITE)
                .summary("Create a record, or up to 1,000 of them.")
                .description("An object makes one record, which is the answer. An array makes all of its records or none; the answer is `{\"data\":[…]}`.")
                .body::<RecordsIn>()
                .example(r#"{"name":"Lovelace & Sons","industry":"engines"}"#)
                .answer::<RecordOut>(201)
                .uses("records")
                .problems(&[Slug::AlreadyExists, Slug::PlanLimitExceeded]),
            records::create,
        )
        .add(
            Operation::patch(LIST, "updateRecords", WRITE)
                .summary("Change all records that match.")
                .description("Filters as in a list say which, at least one; `max` says how many at most. With more that match, none is changed.")
                .query::<MatchParameters>()
                .body::<ChangesIn>()
                .example(r#"{"industry":"computing"}"#)
                .answer::<ChangedOut>(200)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded]),
            records::change_matching,
        )
        .add(
            Operation::get(ONE, "getRecord", READ)
                .summary("Read a record.")
                .description("`select` names members and relations: `select=name,company(name)`. The ETag is the record's version.")
                .query::<SelectParameters>()
                .answer::<RecordOut>(200),
            records::read,
        )
        .add(
            Operation::patch(ONE, "updateRecord", WRITE)
                .summary("Change a record.")
                .description("Members that are not named stay. With `If-Match` only in that version. The answer is the record, so it takes the permission to read it, too.")
                .body::<ChangesIn>()
                .example(r#"{"industry":"computing"}"#)
                .answer::<RecordOut>(200)
                .problems(&[Slug::AlreadyExists, Slug::PreconditionFailed]),
            records::change,
        )
        .add(
            Operation::delete(ONE, "deleteRecord", DELETE)
                .summary("Delete a record; it can be restored.")
                .problems(&[Slug::PreconditionFailed]),
            records::delete,
        )
        .add(
            Operation::post("/data/{module}/{model}/{id}/restore", "restoreRecord", WRITE)
                .summary("Bring a deleted record back.")
                .description("The answer is the record, so it takes the permission to read it, too.")
                .answer::<RecordOut>(200)
                .uses("records")
                .problems(&[
                    Slug::InvalidState,
                    Slug::AlreadyExists,
                    Slug::PreconditionFailed,
                    Slug::PlanLimitExceeded,
                ]),
            records::restore,
        )
        .add(
            Operation::delete("/data/{module}/{model}/{id}/permanent", "purgeRecord", DELETE)
                .summary("Remove a deleted record for ever.")
                .problems(&[Slug::InvalidState, Slug::Conflict, Slug::PreconditionFailed]),
            records::delete_for_ever,
        )
        .add(
            Operation::get("/data/{module}/{model}/export", "exportRecords", READ)
                .summary("All records that match, as NDJSON or CSV.")
                .description("Streamed page by page in the order of `sort`; what changes meanwhile is seen as of its page. An error after the first page breaks the stream off.")
                .query::<ExportParameters>()
                .status(200),
            bulk::export,
        )
        .add(
            Operation::post("/data/{module}/{model}/import", "importRecords", WRITE)
                .summary("Create records from lines of NDJSON or CSV, of any number.")
                .description(wire::IMPORT)
                .streams(usize::MAX)
                .answer::<Report>(200)
                .uses("records")
                .problems(&[Slug::UnsupportedMediaType, Slug::ValidationError, Slug::PlanLimitExceeded]),
            bulk::import,
        )
        .finish()
}

#[cfg(test)]
mod tests {
    use ports::http::openapi::path_parameters;

    use super::*;

    #[test]
    fn every_operation_on_records_asks_for_the_models_own_permission() {
        for access in [READ, WRITE, DELETE] {
            let Access::PathPermission(rule) = access else { panic!("{access:?}") };
            for part in rule.split('.').take(2) {
                let name = part.trim_matches(['{', '}']);
                assert!(path_parameters(LIST).any(|parameter| parameter == name), "{rule}");
            }
        }
    }
}
