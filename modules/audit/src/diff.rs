//! What changed between two states of a thing.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Changes that are told of one record; a longer list helps nobody.
const MOST_CHANGES: usize = 1_000;

/// One member that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where it stands: a JSON pointer.
    pub field: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What it was; left out when it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is; left out when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What happened to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It has another value.
    Changed,
    /// It is not there any more.
    Removed,
}

/// The changes from `before` to `after`, by pointer. Objects are compared member by member, lists as a whole.
pub fn between(before: Option<&Value>, after: Option<&Value>) -> Vec<FieldChange> {
    let nothing = Value::Object(serde_json::Map::new());
    let mut changes = Vec::new();
    compare(&mut String::new(), before.unwrap_or(&nothing), after.unwrap_or(&nothing), &mut changes);
    changes.sort_by(|one, other| one.field.cmp(&other.field));
    changes
}

fn compare(place: &mut String, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    if before == after || changes.len() >= MOST_CHANGES {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        let (before, after) = (Some(before.clone()), Some(after.clone()));
        changes.push(FieldChange { field: place.clone(), kind: ChangeKind::Changed, before, after });
        return;
    };
    let end = place.len();
    let mut within =
        |name: &str, changes: &mut Vec<FieldChange>, tell: &dyn Fn(&mut String, &mut Vec<FieldChange>)| {
            place.push('/');
            place.push_str(&name.replace('~', "~0").replace('/', "~1"));
            tell(place, changes);
            place.truncate(end);
        };
    for (name, was) in old {
        within(name, changes, &|place, changes| match new.get(name) {
            Some(is) => compare(place, was, is, changes),
            None => changes.push(FieldChange {
                field: place.clone(),
                kind: ChangeKind::Removed,
                before: Some(was.clone()),
                after: None,
            }),
        });
    }
    for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        within(name, changes, &|place, changes| {
            let after = Some(is.clone());
            changes.push(FieldChange { field: place.clone(), kind: ChangeKind::Added, before: None, after });
        });
    }
    changes.truncate(MOST_CHANGES);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_added_changed_and_removed() {
        let before = json!({ "a": 1, "b": { "c": 1, "d": 2 }, "list": [1], "same": { "x": 1 }, "gone/x": 1 });
        let after = json!({ "a": 2, "b": { "c": 1, "e": 3 }, "list": [1, 2], "same": { "x": 1 } });
        let told: Vec<_> = between(Some(&before), Some(&after))
            .into_iter()
            .map(|change| (change.field, change.kind, change.before, change.after))
            .collect();
        use ChangeKind::{Added, Changed, Removed};
        assert_eq!(
            told,
            [
                ("/a".to_owned(), Changed, Some(json!(1)), Some(json!(2))),
                ("/b/d".to_owned(), Removed, Some(json!(2)), None),
                ("/b/e".to_owned(), Added, None, Some(json!(3))),
                ("/gone~1x".to_owned(), Removed, Some(json!(1)), None),
                ("/list".to_owned(), Changed, Some(json!([1])), Some(json!([1, 2]))),
            ]
        );
    }

    #[test]
    fn what_is_new_or_gone_altogether_is_told_by_member() {
        let thing = json!({ "a": 1, "b": null });
        assert!(between(None, Some(&thing)).iter().all(|change| change.kind == ChangeKind::Added));
        assert!(between(Some(&thing), None).iter().all(|change| change.kind == ChangeKind::Removed));
        assert_eq!(between(Some(&thing), Some(&thing)), []);
        assert_eq!(between(None, None), []);
        let kind = between(Some(&json!({ "a": null })), Some(&json!({ "a": 1 })))[0].kind;
        assert_eq!(kind, ChangeKind::Changed);
    }
}
