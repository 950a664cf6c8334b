//! "Did you mean": the name that lies nearest to a mistyped one.

use super::settings::{SETTINGS, Setting};

/// Longer names are not compared: nobody mistypes that much, and the work grows with the square.
const LONGEST: usize = 64;

/// The setting nearest to a name in any spelling (`--gateway-prot`, `KERNEL_GATEWAY_PORT`, `datadir`), if
/// one is near enough to have been meant.
pub(super) fn nearest(name: &str) -> Option<&'static Setting> {
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase().replace('-', "_");
        name.strip_prefix("kernel_").map(str::to_owned).unwrap_or(name)
    };
    let wanted = bare(name);
    let allowed = (wanted.len() / 3).max(1);
    SETTINGS
        .iter()
        .filter_map(|setting| edits(&wanted, &setting.key()).map(|distance| (distance, setting)))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, setting)| setting)
}

/// The environment name one edit away: a letter wrong, missing, too many or swapped.
pub(super) fn one_edit_away(name: &str) -> Option<String> {
    let settings = || SETTINGS.iter().filter(|setting| !setting.flag_only);
    let names = settings().map(|setting| setting.name.to_owned());
    let file_names =
        settings().filter(|setting| setting.secret).map(|setting| format!("{}_FILE", setting.name));
    names.chain(file_names).find(|known| edits(name, known) == Some(1))
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one name to the other
/// (optimal string alignment). `None` for names too long to compare.
fn edits(from: &str, to: &str) -> Option<usize> {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    if from.len().max(to.len()) > LONGEST {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(before_last[j - 1] + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_wrong_missing_added_or_swapped_is_one_edit() {
        for name in ["IAM_PORD", "IAM_POR", "IAM_PORTS", "IAM_PROT"] {
            assert_eq!(edits(name, "IAM_PORT"), Some(1), "{name}");
        }
        assert_eq!(edits("IAM_PORT", "IAM_PORT"), Some(0));
        assert_eq!(edits("", "abc"), Some(3));
        assert_eq!(edits("kitten", "sitting"), Some(3));
    }

    #[test]
    fn the_nearest_name_is_found_in_every_spelling() {
        let found = |name| nearest(name).map(|setting| setting.name);
        assert_eq!(found("datadir"), Some("KERNEL_DATA_DIR"));
        assert_eq!(found("KERNEL_GATEWAY_PORT"), Some("GATEWAY_PORT"));
        assert_eq!(found("gateway-prot"), Some("GATEWAY_PORT"));
        assert_eq!(found("something-else"), None);
        assert_eq!(found(&"x".repeat(10_000)), None);
    }
}
