use trunkline_domain::snippet;
use unicode_segmentation::UnicodeSegmentation;

/// A text is cut between grapheme clusters.
pub fn of_text(text: &str, graphemes_max: usize) {
    let cut = snippet(text, graphemes_max);
    let all = text.graphemes(true).count();
    if all <= graphemes_max {
        assert_eq!(cut, text, "what fits is left alone");
        return;
    }
    let kept = cut.strip_suffix('…').expect("a cut is marked");
    assert!(text.starts_with(kept));
    assert_eq!(kept.graphemes(true).count(), graphemes_max);
    let rest = text[kept.len()..].graphemes(true).count();
    assert_eq!(graphemes_max + rest, all, "no character is cut in two");
}
