/// Longer names get no suggestion: the comparison takes time that grows with their length.
const CHARS_MAX: usize = 64;
/// A name may differ from the suggested one by one letter in so many.
const CHARS_PER_TYPO: usize = 3;

/// The known name that a misspelt one most likely means: the one with the same letters, whatever their case and
/// separators, or else the nearest by edit distance.
pub fn likely_meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.chars().count() > CHARS_MAX {
        return None;
    }
    let name = letters(name);
    let distance = |other: &str| strsim::osa_distance(&name, &letters(other));
    let nearest = known.into_iter().map(|other| (distance(other), other)).min()?;
    let typos_max = (name.chars().count() / CHARS_PER_TYPO).max(1);
    (nearest.0 <= typos_max).then_some(nearest.1)
}

fn letters(name: &str) -> String {
    let letters = name.chars().filter(|character| character.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = [
        "conversation_id",
        "failed_before",
        "pageSize",
        "participant",
        "provider",
        "to",
        "from",
        "subject",
    ];

    #[test]
    fn a_misspelt_name_suggests_the_likely_one() {
        for (name, likely) in [
            ("failedBefore", "failed_before"),
            ("FAILED-BEFORE", "failed_before"),
            ("page_size", "pageSize"),
            ("pagesize", "pageSize"),
            ("conversation", "conversation_id"),
            ("conversationid", "conversation_id"),
            ("participants", "participant"),
            ("providr", "provider"),
            ("porvider", "provider"),
            ("form", "from"),
            ("tos", "to"),
            ("subjekt", "subject"),
        ] {
            assert_eq!(likely_meant(name, KNOWN), Some(likely), "{name}");
        }
    }

    #[test]
    fn a_name_that_resembles_none_suggests_none() {
        for name in [
            "",
            "cc",
            "recipients",
            "callback_url",
            "客",
            &"failed_before".repeat(100),
        ] {
            assert_eq!(likely_meant(name, KNOWN), None, "{name}");
        }
        assert_eq!(likely_meant("to", []), None);
    }
}
