use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Context, Flag, definition::Definition, flag::Stage, rule::Rule};

/// The variation of answers that are the caller's own default.
pub const SDK_DEFAULT: &str = "SdkDefault";

/// Why a flag has the value it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// A rule applies.
    TargetingMatch,
    /// A rule applies and spreads its keys.
    TargetingMatchSplit,
    /// No rule applies, and the default rule spreads the keys.
    Split,
    /// The flag is off.
    Disabled,
    /// No rule applies.
    Default,
    /// The flag has no rules.
    Static,
    /// There is no value; the error code says why.
    Error,
}

/// Why a flag has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// There is no such flag.
    FlagNotFound,
    /// The flag spreads keys and the context has none.
    TargetingKeyMissing,
    /// The flag is not well made.
    FlagConfig,
}

/// What a flag is for somebody.
#[derive(Debug, Clone)]
pub struct Evaluation<'f> {
    /// The value; none: the caller's default.
    pub value: Option<&'f Value>,
    /// The variation's name.
    pub variation: &'f str,
    /// Why.
    pub reason: Reason,
    /// Why there is no value.
    pub error: Option<(ErrorCode, String)>,
    /// Whether it stays so for this context until the flag is changed.
    pub cacheable: bool,
    rule_name: Option<&'f str>,
    flag: Option<&'f Definition>,
}

impl<'f> Evaluation<'f> {
    /// The answer for a flag that does not exist.
    pub fn not_found(name: &str) -> Self {
        let details = format!("flag for key '{name}' does not exist");
        Self::failed(None, ErrorCode::FlagNotFound, details)
    }

    fn failed(flag: Option<&'f Definition>, code: ErrorCode, details: String) -> Self {
        Self {
            value: None,
            variation: SDK_DEFAULT,
            reason: Reason::Error,
            error: Some((code, details)),
            cacheable: false,
            rule_name: None,
            flag,
        }
    }

    /// Whether its use is to be counted.
    pub fn is_tracked(&self) -> bool {
        self.flag.is_some_and(|flag| flag.track_events.unwrap_or(true))
    }

    /// The flag's version, as its author calls it.
    pub fn version(&self) -> &'f str {
        self.flag.and_then(|flag| flag.version.as_deref()).unwrap_or_default()
    }

    /// What belongs to the flag, and the name of the rule that decided.
    pub fn metadata(&self) -> Option<Map<String, Value>> {
        let mut metadata = self.flag.and_then(|flag| flag.metadata.clone());
        if let Some(name) = self.rule_name.filter(|name| !name.is_empty()) {
            metadata.get_or_insert_default().insert("evaluatedRuleName".to_owned(), name.into());
        }
        metadata
    }
}

impl Flag {
    /// What the flag of this name is for somebody at a moment; the context may name another moment.
    pub fn evaluate<'f>(&'f self, name: &str, context: &Context, now: DateTime<Utc>) -> Evaluation<'f> {
        let now = context.moment().map_or(now, |moment| moment.0);
        let (definition, stage) = (self.definition(), self.stage(now));
        let key = match self.key(context) {
            Ok(key) => key,
            Err(details) => {
                return Evaluation::failed(Some(definition), ErrorCode::TargetingKeyMissing, details);
            }
        };
        if stage.is_off(now) {
            return Evaluation {
                value: None,
                variation: SDK_DEFAULT,
                reason: Reason::Disabled,
                error: None,
                cacheable: !self.changes_with_time(),
                rule_name: None,
                flag: Some(definition),
            };
        }
        match self.decide(stage, name, key, context, now) {
            Ok(evaluation) => evaluation,
            Err(details) => Evaluation::failed(Some(definition), ErrorCode::FlagConfig, details.to_owned()),
        }
    }

    fn decide<'f>(
        &'f self,
        stage: &'f Stage,
        name: &str,
        key: &str,
        context: &Context,
        now: DateTime<Utc>,
    ) -> Result<Evaluation<'f>, &'static str> {
        let choose = |rule: &'f Rule| -> Result<_, &'static str> {
            if key.is_empty() && rule.outcome.needs_key() {
                return Err("evaluate Rule: no key for bucketing-required rule");
            }
            Ok(rule)
        };
        let answer = |rule: &'f Rule, reason, rule_name| {
            let variation = rule.outcome.choose(name, key, now)?;
            let ramps = matches!(rule.outcome, crate::outcome::Outcome::Ramp(_));
            Ok(Evaluation {
                value: Some(stage.variations.get(variation).unwrap_or(&Value::Null)),
                variation,
                reason,
                error: None,
                cacheable: !self.changes_with_time() && !ramps,
                rule_name,
                flag: Some(self.definition()),
            })
        };
        for rule in &stage.rules {
            let rule = choose(rule)?;
            if !rule.disabled && rule.applies(context) {
                let splits = rule.outcome.splits();
                let reason = if splits { Reason::TargetingMatchSplit } else { Reason::TargetingMatch };
                return answer(rule, reason, rule.name.as_deref());
            }
        }
        let rule = choose(&stage.default)?;
        let reason = match (rule.outcome.splits(), stage.rules.is_empty()) {
            (true, _) => Reason::Split,
            (false, false) => Reason::Default,
            (false, true) => Reason::Static,
        };
        answer(rule, reason, None)
    }

    /// What is bucketed.
    fn key<'c>(&self, context: &'c Context) -> Result<&'c str, String> {
        let needed = self.needs_key();
        let Some(name) = self.definition().bucketing_key.as_deref() else {
            return match context.key() {
                "" if needed => Err("Error: Empty targeting key".to_owned()),
                key => Ok(key),
            };
        };
        if name.is_empty() {
            return Ok(context.key());
        }
        let mut steps = name.split('.');
        let first = steps.next().and_then(|step| context.attributes().get(step));
        let found = steps.fold(first, |at, step| at?.as_object()?.get(step));
        match found {
            None => Err(format!("impossible to find bucketingKey in context: nested key not found: {name}")),
            Some(Value::String(key)) if key.is_empty() && needed => {
                Err("Error: Empty bucketing key".to_owned())
            }
            Some(Value::String(key)) => Ok(key),
            Some(_) => Err("invalid bucketing key".to_owned()),
        }
    }
}
