use proptest::prelude::*;

use crate::{claims, config, near_miss};

/// Characters of several code points: emoji, flags, accents, line ends.
fn joined() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "e\u{301}",
        "\r\n",
        "\r",
        "\n",
        "…",
        "\u{1f1e9}",
        "\u{200d}",
        "\u{1f468}",
        "\u{fe0f}",
        "\u{1f3fd}",
        "\u{1100}",
        "\u{1161}",
        "\u{11a8}",
        "\u{0e33}",
        "\u{94d}",
        "\u{915}",
        "\0",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_snippet_is_the_text_or_the_beginning_of_it(text in prop_oneof![joined(), near_miss::any_text()], graphemes_max in 0_usize..30) {
        claims::snippet::of_text(&text, graphemes_max);
    }
}
