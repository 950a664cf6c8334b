//! What a person wants to be told.

use kernel::{Slug, Timestamp};
use ports::http::{Access, Body, Cx, IfMatch, One, Operation, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Notifier;
use crate::model::preference::{QuietHours, Rule};

/// A person's wishes in this tenant.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreferencesOut {
    /// What is wanted and what is not; of several that fit the last one counts, and what none names is wanted.
    pub rules: Vec<Rule>,
    /// Hours in which mail waits, unless it is critical.
    pub quiet_hours: Option<QuietHours>,
    /// Grows with each change; 0 as long as there was none.
    pub version: i32,
    /// The last change.
    pub updated_at: Option<Timestamp>,
}

/// Other wishes; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PreferencesPatch {
    /// All of the rules, at most 100.
    pub rules: Option<Vec<Rule>>,
    /// Quiet hours; null for none.
    #[serde(default, deserialize_with = "super::templates::given")]
    pub quiet_hours: Option<Option<QuietHours>>,
}

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    routes
        .add(
            Operation::get("/notifications/preferences", "getNotificationPreferences", Access::Authenticated)
                .summary("Get what you want to be told, and when")
                .answer::<PreferencesOut>(200)
                .problems(&[Slug::Forbidden]),
            get,
        )
        .add(
            Operation::patch(
                "/notifications/preferences",
                "updateNotificationPreferences",
                Access::Authenticated,
            )
            .summary("Change what you want to be told, and when")
            .body::<PreferencesPatch>()
            .answer::<PreferencesOut>(200)
            .problems(&[Slug::Forbidden, Slug::PreconditionFailed])
            .example(
                r#"{"rules":[{"type":"orders.*","channel":"email","enabled":false}],"quietHours":{"from":"22:00","to":"07:00","utcOffset":"+02:00"}}"#,
            ),
            change,
        )
}

async fn get(State(notify): State<Notifier>, Cx(cx): Cx) -> Result<One<PreferencesOut>> {
    let wishes = notify.preferences(&cx).await?;
    let version = wishes.version;
    Ok(One::versioned(wishes, version))
}

async fn change(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    IfMatch(seen): IfMatch,
    Body(patch): Body<PreferencesPatch>,
) -> Result<One<PreferencesOut>> {
    let wishes = notify.change_preferences(&cx, patch, seen).await?;
    let version = wishes.version;
    Ok(One::versioned(wishes, version))
}
