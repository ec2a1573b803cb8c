use proptest::prelude::*;

use crate::{claims, config, near_miss};

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "(\\{|urn:uuid:)?[0-9a-fA-F]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\\}?",
        "[+-]?[0-9]{1,20}",
        "0{1,3}[1-9][0-9]{0,4}",
        "[a-z0-9-]{1,33}",
        "[ -~\u{e9}\u{1f44d}]{250,257}",
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_text_is_an_id_by_its_rule_or_refused(text in prop_oneof![2 => id(), 4 => near_miss::near(id()), 1 => near_miss::any_text()]) {
        claims::ids::of_text(&text);
    }
}
