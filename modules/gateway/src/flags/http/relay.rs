//! The addresses of GO Feature Flag's relay proxy, so that its own providers work against this API under `/v1`.

use std::collections::BTreeMap;

use axum::response::Response;
use flags::{Context, Definition, Effective, ErrorCode, Evaluation, Reason};
use http::HeaderMap;
use kernel::{Error, FieldCode, Slug};
use ports::http::{Access, Body, Cx, One, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Held, tagged};

const EVALUATE: &str =
    r#"{"evaluationContext":{"key":"user-17","custom":{"email":"ada@example.com"}},"defaultValue":false}"#;
const ALL: &str = r#"{"evaluationContext":{"key":"user-17","custom":{"email":"ada@example.com"}}}"#;
const COLLECT: &str = r#"{"meta":{},"events":[{"kind":"feature","contextKind":"user","userKey":"user-17","creationDate":1767225600,"key":"console-new-navigation","variation":"enabled","value":true,"default":false}]}"#;

/// Most events of one request: twice what providers gather before they send.
const MOST_EVENTS: usize = 20_000;
/// Most bytes of them.
const EVENTS_LIMIT: usize = 8_000_000;

/// Whom flags are evaluated for. Providers send more than is needed here; it is passed over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EvaluateIn {
    /// Somebody.
    evaluation_context: Option<SomebodyIn>,
    /// The same under its older name.
    user: Option<SomebodyIn>,
    /// The value when there is none.
    #[serde(default)]
    default_value: Value,
}

/// Somebody.
#[derive(Debug, Deserialize, JsonSchema)]
struct SomebodyIn {
    /// The key that percentages go by.
    #[serde(default)]
    key: String,
    /// Whether it is nobody in particular.
    anonymous: Option<bool>,
    /// Attributes.
    #[serde(default)]
    custom: Option<Map<String, Value>>,
}

/// What a flag is for somebody.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EvaluateOut {
    /// Whether its use is counted.
    track_events: bool,
    /// The variation's name.
    variation_type: String,
    /// Whether the value is only the default.
    failed: bool,
    /// The flag's version.
    version: String,
    /// Why.
    #[schemars(with = "String")]
    reason: Reason,
    /// Why there is no value; empty: there is one.
    error_code: &'static str,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<String>,
    /// The value.
    value: Value,
    /// Whether it stays so until the flag is changed.
    cacheable: bool,
    /// What belongs to the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

/// A flag of all.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StateOut {
    /// The value.
    value: Value,
    /// When it was evaluated, in seconds.
    timestamp: i64,
    /// The variation's name.
    variation_type: String,
    /// Whether its use is counted.
    track_events: bool,
    /// Why there is no value; empty: there is one.
    error_code: &'static str,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<String>,
    /// Why.
    #[schemars(with = "String")]
    reason: Reason,
    /// What belongs to the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
}

/// All flags for somebody.
#[derive(Debug, Serialize, JsonSchema)]
struct AllOut {
    /// By key.
    flags: BTreeMap<String, StateOut>,
    /// Always true.
    valid: bool,
}

/// Which flags are wanted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct ConfigurationIn {
    /// Their keys; none: all.
    #[serde(default)]
    flags: Option<Vec<String>>,
}

/// Flags, for clients that evaluate by themselves.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConfigurationOut<'f> {
    /// By key.
    #[schemars(with = "BTreeMap<String, Value>")]
    flags: BTreeMap<&'f str, &'f Definition>,
    /// Attributes that every context gets, over those of the same name.
    evaluation_context_enrichment: Map<String, Value>,
}

/// What clients evaluated by themselves.
#[derive(Debug, Deserialize, JsonSchema)]
struct CollectIn {
    /// One entry an evaluation; `kind` `tracking` is taken and not counted.
    events: Vec<UseIn>,
}

/// An evaluation.
#[derive(Debug, Deserialize, JsonSchema)]
struct UseIn {
    /// `feature` or `tracking`.
    kind: Option<String>,
    /// The flag.
    #[serde(default)]
    key: String,
    /// The variation's name.
    #[serde(default)]
    variation: String,
}

/// What was taken.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CollectedOut {
    /// How many events.
    ingested_content_count: usize,
}

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    let collector = Operation::post("/data/collector", "collectFlagUses", Access::Authenticated)
        .summary("Tell what was evaluated in process (GO Feature Flag)")
        .description("Counted by flag and variation in `/metrics`; the rest of an event is not kept.")
        .body::<CollectIn>()
        .answer::<CollectedOut>(200)
        .example(COLLECT)
        .harmless();
    routes
        .add(
            Operation::post("/feature/{key}/eval", "evaluateFlag", Access::Authenticated)
                .summary("What a flag is for somebody (GO Feature Flag)")
                .description("Also for a flag that does not exist: then the value is the default and `failed` is true.")
                .body::<EvaluateIn>()
                .answer::<EvaluateOut>(200)
                .example(EVALUATE)
                .harmless(),
            evaluate,
        )
        .add(
            Operation::post("/allflags", "evaluateAllFlags", Access::Authenticated)
                .summary("What every flag is for somebody (GO Feature Flag)")
                .body::<EvaluateIn>()
                .answer::<AllOut>(200)
                .example(ALL)
                .harmless(),
            evaluate_all,
        )
        .add(
            Operation::post("/flag/configuration", "getFlagConfiguration", Access::Permission("flags.read"))
                .summary("The flags themselves, for clients that evaluate in process (GO Feature Flag)")
                .description(
                    "With `If-None-Match` 304 as long as no flag changes. `evaluationContextEnrichment` holds the tenant.",
                )
                .body::<ConfigurationIn>()
                .answer::<ConfigurationOut>(200)
                .example(r#"{"flags":[]}"#)
                .harmless(),
            configuration,
        )
        .add(Operation { body_limit: EVENTS_LIMIT, ..collector }, collect)
}

async fn evaluate(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Path(key): Path<String>,
    Body(body): Body<EvaluateIn>,
) -> Result<One<EvaluateOut>> {
    let effective = flags.effective(&cx).await?;
    let context = somebody(&effective, body.evaluation_context.or(body.user))?;
    let evaluation = effective.evaluate(&key, &context);
    flags.uses.evaluated(&effective, &key, &evaluation);
    let (error_code, error_details) = error(&evaluation);
    Ok(One::new(EvaluateOut {
        track_events: evaluation.is_tracked(),
        variation_type: evaluation.variation.to_owned(),
        failed: evaluation.error.is_some(),
        version: evaluation.version().to_owned(),
        reason: evaluation.reason,
        error_code,
        error_details,
        value: evaluation.value.cloned().unwrap_or(body.default_value),
        cacheable: evaluation.cacheable,
        metadata: evaluation.metadata(),
    }))
}

async fn evaluate_all(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Body(body): Body<EvaluateIn>,
) -> Result<One<AllOut>> {
    let effective = flags.effective(&cx).await?;
    let context = somebody(&effective, body.evaluation_context.or(body.user))?;
    let wanted = context.wanted();
    let all =
        effective.iter().filter(|(key, _)| wanted.is_empty() || wanted.contains(key)).map(|(key, _)| {
            let evaluation = effective.evaluate(key, &context);
            flags.uses.evaluated(&effective, key, &evaluation);
            let (error_code, error_details) = error(&evaluation);
            let state = StateOut {
                value: evaluation.value.cloned().unwrap_or_default(),
                timestamp: cx.now().unix_seconds(),
                variation_type: evaluation.variation.to_owned(),
                track_events: evaluation.is_tracked(),
                error_code,
                error_details,
                reason: evaluation.reason,
                metadata: evaluation.metadata(),
            };
            (key.to_owned(), state)
        });
    Ok(One::new(AllOut { flags: all.collect(), valid: true }))
}

async fn configuration(
    State(flags): State<Held>,
    Cx(cx): Cx,
    headers: HeaderMap,
    Body(body): Body<ConfigurationIn>,
) -> Result<Response> {
    let effective = flags.effective(&cx).await?;
    let wanted = body.flags.unwrap_or_default();
    let chosen = effective.iter().filter(|(key, _)| wanted.is_empty() || wanted.iter().any(|own| own == key));
    let flags = chosen.map(|(key, flag)| (key, flag.definition())).collect();
    let answer = ConfigurationOut { flags, evaluation_context_enrichment: effective.enrichment() };
    Ok(tagged(&answer, &headers)?)
}

async fn collect(
    State(flags): State<Held>,
    Cx(cx): Cx,
    Body(body): Body<CollectIn>,
) -> Result<One<CollectedOut>> {
    if body.events.len() > MOST_EVENTS {
        let message = format!("takes at most {MOST_EVENTS} events");
        return Err(Error::field("/events", FieldCode::TooLong, message).into());
    }
    let effective = flags.effective(&cx).await?;
    for event in body.events.iter().filter(|event| event.kind.as_deref() != Some("tracking")) {
        flags.uses.told(&effective, &event.key, &event.variation);
    }
    Ok(One::new(CollectedOut { ingested_content_count: body.events.len() }))
}

fn somebody(flags: &Effective, somebody: Option<SomebodyIn>) -> kernel::Result<Context> {
    let Some(SomebodyIn { key, anonymous, custom }) = somebody else {
        let message = "is needed: whom the flag is evaluated for";
        let fields = vec![kernel::FieldError::new("/evaluationContext", FieldCode::Required, message)];
        return Err(Error::new(Slug::ValidationError, "Nobody is named.").with_fields(fields));
    };
    let mut attributes = custom.unwrap_or_default();
    attributes.insert("targetingKey".to_owned(), key.into());
    if let Some(anonymous) = anonymous {
        attributes.insert("anonymous".to_owned(), anonymous.into());
    }
    Ok(flags.context(attributes))
}

fn error(evaluation: &Evaluation<'_>) -> (&'static str, Option<String>) {
    match &evaluation.error {
        None => ("", None),
        Some((code, details)) => {
            let code = match code {
                ErrorCode::FlagNotFound => "FLAG_NOT_FOUND",
                ErrorCode::TargetingKeyMissing => "TARGETING_KEY_MISSING",
                ErrorCode::FlagConfig => "FLAG_CONFIG",
            };
            (code, Some(details.clone()))
        }
    }
}
