//! OFREP, the OpenFeature Remote Evaluation Protocol: <https://openfeature.dev/specification/appendix-c>. Its failures have
//! the protocol's form.

use axum::response::Response;
use flags::{ErrorCode, Evaluation, Reason};
use http::{HeaderMap, StatusCode};
use kernel::Error;
use ports::http::{Access, Cx, Operation, Path, Raw, Result, Routes, State, json_bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Held, tagged};

const EXAMPLE: &str = r#"{"context":{"targetingKey":"user-17","email":"ada@example.com","plan":"business"}}"#;

/// Whom flags are evaluated for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct EvaluateIn {
    /// Attributes; `targetingKey` is the key that percentages go by. `tenantId` is always the caller's tenant.
    #[serde(default)]
    context: Map<String, Value>,
}

/// What a flag is for somebody.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EvaluateOut<'f> {
    /// The flag.
    key: &'f str,
    /// Its value; without one the client takes its own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    value: Option<&'f Value>,
    /// Why: `STATIC`, `TARGETING_MATCH`, `SPLIT`, `DEFAULT`, `DISABLED`.
    reason: &'static str,
    /// The variation's name.
    variant: &'f str,
    /// What belongs to the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

/// Why a flag has no value.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FailureOut<'f> {
    /// The flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'f str>,
    /// `PARSE_ERROR`, `TARGETING_KEY_MISSING`, `FLAG_NOT_FOUND`, `GENERAL`.
    error_code: &'static str,
    /// In words.
    error_details: String,
}

/// An entry of the answer for all flags.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Entry<'f> {
    Value(EvaluateOut<'f>),
    Failure(FailureOut<'f>),
}

/// All flags for somebody.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkOut<'f> {
    /// Each flag, by key.
    flags: Vec<Entry<'f>>,
}

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    routes
        .add(
            Operation::protocol_post(
                "/ofrep/v1/evaluate/flags/{key}",
                "ofrepEvaluateFlag",
                Access::Authenticated,
            )
            .summary("What a flag is for somebody (OFREP)")
            .description(
                "For OpenFeature's OFREP providers. Failures have the protocol's form, with `errorCode`.",
            )
            .body::<EvaluateIn>()
            .answer::<EvaluateOut>(200)
            .example(EXAMPLE)
            .harmless(),
            evaluate,
        )
        .add(
            Operation::protocol_post("/ofrep/v1/evaluate/flags", "ofrepEvaluateFlags", Access::Authenticated)
                .summary("What every flag is for somebody (OFREP)")
                .description("With `If-None-Match` 304 as long as nothing changes for this context.")
                .body::<EvaluateIn>()
                .answer::<BulkOut>(200)
                .example(EXAMPLE)
                .harmless(),
            evaluate_all,
        )
        .add(
            Operation::protocol("/ofrep/v1/configuration", "ofrepConfiguration", Access::Authenticated)
                .summary("What clients of OFREP should know")
                .answer::<Value>(200),
            configuration,
        )
}

async fn evaluate(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Path(key): Path<String>,
    Raw(body): Raw,
) -> Result<Response> {
    let context = match read(&body) {
        Ok(context) => context,
        Err(details) => return Ok(failed(Some(&key), "PARSE_ERROR", details)?),
    };
    let effective = flags.effective(&cx).await?;
    let context = effective.context(context);
    let evaluation = effective.evaluate(&key, &context);
    flags.uses.evaluated(&effective, &key, &evaluation);
    Ok(match &evaluation.error {
        Some((code, details)) => failed(Some(&key), word(*code), details.clone())?,
        None => json_bytes(StatusCode::OK, text(&value(&key, &evaluation))?),
    })
}

async fn evaluate_all(
    State(flags): State<Held>,
    Cx(cx): Cx,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let context = match read(&body) {
        Ok(context) => context,
        Err(details) => return Ok(failed(None, "PARSE_ERROR", details)?),
    };
    let effective = flags.effective(&cx).await?;
    let context = effective.context(context);
    let wanted = context.wanted();
    let evaluated =
        effective.iter().filter(|(key, _)| wanted.is_empty() || wanted.contains(key)).map(|(key, _)| {
            let evaluation = effective.evaluate(key, &context);
            flags.uses.evaluated(&effective, key, &evaluation);
            match &evaluation.error {
                Some((code, details)) => Entry::Failure(FailureOut {
                    key: Some(key),
                    error_code: word(*code),
                    error_details: details.clone(),
                }),
                None => Entry::Value(value(key, &evaluation)),
            }
        });
    Ok(tagged(&BulkOut { flags: evaluated.collect() }, &headers)?)
}

async fn configuration(headers: HeaderMap) -> Result<Response> {
    let known = json!({
        "name": "Platform Kernel",
        "capabilities": {
            "cacheInvalidation": { "polling": { "enabled": true, "minPollingIntervalMs": 10_000 } },
            "flagEvaluation": { "supportedTypes": ["boolean", "string", "int", "float", "object"] },
        },
    });
    Ok(tagged(&known, &headers)?)
}

/// The context of a request; members that the protocol may get one day are passed over.
fn read(body: &[u8]) -> std::result::Result<Map<String, Value>, String> {
    let body: EvaluateIn =
        serde_json::from_slice(body).map_err(|error| format!("The body can't be read: {error}."))?;
    Ok(body.context)
}

fn value<'f>(key: &'f str, evaluation: &Evaluation<'f>) -> EvaluateOut<'f> {
    let mut metadata = evaluation.metadata();
    if evaluation.cacheable {
        // What GO Feature Flag's own providers go by.
        metadata.get_or_insert_default().insert("gofeatureflag_cacheable".to_owned(), true.into());
    }
    EvaluateOut {
        key,
        value: evaluation.value,
        reason: reason(evaluation.reason),
        variant: evaluation.variation,
        metadata,
    }
}

/// The reasons of OpenFeature: it has no word of its own for a rule that spreads its keys.
fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::TargetingMatch => "TARGETING_MATCH",
        Reason::TargetingMatchSplit | Reason::Split => "SPLIT",
        Reason::Disabled => "DISABLED",
        Reason::Default => "DEFAULT",
        Reason::Static => "STATIC",
        Reason::Error => "ERROR",
    }
}

/// The error codes of OpenFeature: a flag that is not well made is a general error.
fn word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::FlagNotFound => "FLAG_NOT_FOUND",
        ErrorCode::TargetingKeyMissing => "TARGETING_KEY_MISSING",
        ErrorCode::FlagConfig => "GENERAL",
    }
}

fn failed(key: Option<&str>, error_code: &'static str, error_details: String) -> kernel::Result<Response> {
    let status = match error_code {
        "FLAG_NOT_FOUND" => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    Ok(json_bytes(status, text(&FailureOut { key, error_code, error_details })?))
}

fn text(answer: &impl Serialize) -> kernel::Result<Vec<u8>> {
    serde_json::to_vec(answer).map_err(Error::internal)
}
