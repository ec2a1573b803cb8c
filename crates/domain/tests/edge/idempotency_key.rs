use proptest::prelude::*;
use trunkline_domain::IdempotencyKey;

use crate::{
    claims::{
        self,
        idempotency_key::{is_key, quoted},
    },
    config, near_miss,
};

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[!-~]{1,20}", 1 => "[!-~]{250,260}", 1 => r#"[\\"]{1,6}"#]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bare_and_quoted_are_the_same_key(key in key()) {
        prop_assume!(is_key(&key) && !key.starts_with('"'));
        let read = |text: &str| text.parse::<IdempotencyKey>().unwrap();
        let bare = read(&key);
        prop_assert_eq!(bare.as_str(), &key);
        prop_assert_eq!(bare, read(&quoted(&key)));
    }

    #[test]
    fn a_text_is_a_key_by_the_grammar_or_refused(
        text in prop_oneof![
            2 => near_miss::near(key()),
            4 => near_miss::near(key().prop_map(|key| quoted(&key))),
            2 => r#""[n"\\]{1,5}""#,
            1 => near_miss::any_text(),
        ],
    ) {
        claims::idempotency_key::of_text(&text);
    }
}
