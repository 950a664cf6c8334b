//! How many records a page can come to, were every embedded array full.

use super::select::{Item, Selection, default_embedded};

/// The most records along one path of relations, when the list itself has `limit` of them.
pub(super) fn reach(selection: &Selection<'_>, limit: u32) -> u64 {
    fn longest(selection: &Selection<'_>, depth: usize) -> u64 {
        let branches = selection.items.iter().map(|item| match item {
            Item::Column(_) => 1,
            Item::One { select, .. } => longest(select, depth),
            Item::Many { select, part, .. } => {
                let own = u64::from(part.limit.unwrap_or(default_embedded(depth)));
                own.saturating_mul(longest(select, depth + 1))
            }
        });
        branches.max().unwrap_or(1)
    }
    u64::from(limit).saturating_mul(longest(selection, 0))
}
