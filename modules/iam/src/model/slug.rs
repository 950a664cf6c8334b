//! A tenant's name in hosts, made from the organisation's name.

use kernel::TenantSlug;

/// Longest part taken from a name: room is left for a suffix.
const MOST_LETTERS: usize = 30;

/// Labels that hosts of a sandbox use for themselves.
const RESERVED: [&str; 8] = ["api", "www", "localhost", "sandbox", "console", "docs", "default", "mail"];

/// Names to try for an organisation, the plainest first. `chance` are bytes nobody chose: they make the suffixes.
pub fn candidates(organization: &str, chance: [u8; 12]) -> Vec<TenantSlug> {
    let base = plain(organization);
    let suffixed = chance.chunks(4).map(|bytes| {
        let suffix: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
        format!("{base}-{suffix}")
    });
    std::iter::once(base.clone())
        .filter(|base| !RESERVED.contains(&base.as_str()))
        .chain(suffixed)
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// Letters and digits that are not mistaken for one another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// Whether a tenant may be given this name on request.
pub fn is_free_to_choose(slug: &TenantSlug) -> bool {
    !RESERVED.contains(&slug.as_str())
}

fn plain(name: &str) -> String {
    let mut text = String::with_capacity(MOST_LETTERS);
    for letter in name.chars().flat_map(char::to_lowercase) {
        let piece = match letter {
            'a'..='z' | '0'..='9' => letter,
            'à'..='å' | 'ā' => 'a',
            'è'..='ë' | 'ē' => 'e',
            'ì'..='ï' | 'ī' => 'i',
            'ò'..='ö' | 'ø' | 'ō' => 'o',
            'ù'..='ü' | 'ū' => 'u',
            'ç' => 'c',
            'ñ' => 'n',
            'ß' => 's',
            // Dropped, so that “Ada's” is one word.
            '\'' | '’' | '.' => continue,
            _ => '-',
        };
        if piece == '-' && (text.is_empty() || text.ends_with('-')) {
            continue;
        }
        if text.len() == MOST_LETTERS {
            break;
        }
        text.push(piece);
    }
    let text = text.trim_end_matches('-');
    if text.is_empty() { "org".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_becomes_a_label() {
        for (name, label) in [
            ("Acme, Inc.", "acme-inc"),
            ("Ada's Café", "adas-cafe"),
            ("  Straße 9 ", "strase-9"),
            ("株式会社", "org"),
            ("A -- B", "a-b"),
        ] {
            assert_eq!(candidates(name, [7; 12])[0].as_str(), label, "{name}");
        }
    }

    #[test]
    fn a_label_of_the_sandbox_is_not_given_away() {
        let tried = candidates("API", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(tried.len(), 3);
        assert!(tried.iter().all(|slug| slug.as_str().starts_with("api-")));
        assert!(!is_free_to_choose(&"www".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn every_name_has_at_least_three_candidates(name in "\\PC{0,200}", chance: [u8; 12]) {
            prop_assert!(candidates(&name, chance).len() >= 3);
        }
    }
}
