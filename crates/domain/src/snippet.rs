use unicode_segmentation::UnicodeSegmentation;

/// The first `graphemes_max` grapheme clusters (UAX #29) of a text, and `…` if something was cut. An emoji of several code
/// points is not cut in two.
#[must_use]
pub fn snippet(text: &str, graphemes_max: usize) -> String {
    match text.grapheme_indices(true).nth(graphemes_max) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_cut_between_grapheme_clusters() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        let cases = [
            ("hello", 5, "hello".to_owned()),
            ("hello", 4, "hell…".to_owned()),
            ("e\u{301}e\u{301}", 1, "e\u{301}…".to_owned()),
            (&format!("{family}{family}"), 1, format!("{family}…")),
            ("a\r\nb", 2, "a\r\n…".to_owned()),
            ("", 0, String::new()),
        ];
        for (text, graphemes_max, expected) in cases {
            assert_eq!(snippet(text, graphemes_max), expected);
        }
    }
}
