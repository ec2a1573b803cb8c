use proptest::prelude::*;
use trunkline_domain::Attachments;

use crate::{claims, config, near_miss};

fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z]{1,8}([.][a-z]{2,5}){0,2}",
        Just("[::1]".to_owned()),
        Just("127.0.0.1".to_owned())
    ];
    (
        "[hH][tT][tT][pP][sS]?",
        host,
        "(:[1-9][0-9]{0,3})?",
        "(/[a-zA-Z0-9_.~%]{0,8}){0,3}",
        "([?#][a-z0-9=&]{0,8})?",
    )
        .prop_map(|(scheme, host, port, path, rest)| {
            format!("{scheme}://{host}{port}{}{rest}", path.replace('%', "%20"))
        })
}

fn near_or_any() -> impl Strategy<Value = String> {
    let others = prop::sample::select(vec![
        "ftp",
        "file",
        "javascript",
        "data",
        "",
        "httpss",
        "blob:http",
    ]);
    let elsewhere =
        (url(), others).prop_map(|(url, scheme)| format!("{scheme}:{}", url.split_once(':').unwrap().1));
    prop_oneof![4 => near_miss::near(url()), 1 => elsewhere, 1 => near_miss::any_text()]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_text_is_an_absolute_http_url_or_refused(text in near_or_any()) {
        claims::attachments::of_text(&text);
    }

    #[test]
    fn urls_are_kept_as_given(urls in prop::collection::vec(url(), 0..10)) {
        let kept = Attachments::new(urls.clone(), 10).unwrap();
        prop_assert_eq!(kept.as_slice(), urls);
    }

    #[test]
    fn a_url_longer_than_the_limit_is_refused(url in url(), more in 0_usize..3) {
        let start = format!("{}/", url.split(['?', '#']).next().unwrap());
        let length = 2_048 + more;
        let long = format!("{start}{}", "x".repeat(length - start.len()));
        prop_assert_eq!(Attachments::new(vec![long], 1).is_ok(), more == 0);
    }
}
