use proptest::{prelude::*, sample::select};
use trunkline_domain::{Address, Channel, Participant, Region};

use crate::{claims, config, near_miss};

/// Every region with phone numbers of its own.
fn regions() -> Vec<Region> {
    let letters = 'A'..='Z';
    let codes = letters
        .clone()
        .flat_map(|one| letters.clone().map(move |other| format!("{one}{other}")));
    codes.filter_map(|code| code.parse().ok()).collect()
}

/// A phone number with separators, and without.
fn spaced_phone() -> impl Strategy<Value = (String, String)> {
    let gaps = prop::collection::vec("[ .\u{a0}\u{200e}\u{2011}-]{0,3}", 16);
    ("[+]?[0-9]{7,15}", gaps).prop_map(|(bare, gaps)| {
        let spaced: String = bare
            .chars()
            .zip(&gaps)
            .flat_map(|(letter, gap)| [gap.clone(), letter.to_string()])
            .collect();
        (spaced + &gaps[15], bare)
    })
}

fn sender_name() -> impl Strategy<Value = String> {
    "[0-9 _.&+!*?-]{0,5}[A-Za-z][A-Za-z0-9 _.&+!*?-]{0,5}"
}

fn email() -> impl Strategy<Value = String> {
    let atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,10}";
    let local = prop_oneof![
        4 => prop::collection::vec(atom, 1..4).prop_map(|atoms| atoms.join(".")),
        1 => r#""([ !#-\[\]-~]|\\[!-~]){1,12}""#,
        1 => "[a-zA-Zäöüßİ\u{3a3}\u{212a}字]{1,20}",
        1 => "[eao\u{301}\u{308}\u{31b}\u{323}=\u{338}कर्ताผู้]{1,12}",
    ];
    let domain = prop_oneof![
        4 => "([a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?[.]){0,3}[a-zA-Z]{2,6}",
        1 => r"\[[!-Z^-~]{1,15}\]",
        2 => "([a-zäöüßİ字\u{3a3}]{1,8}[.]){1,3}[a-z]{2,6}",
    ];
    (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
}

/// Addresses with what programs and people put around them.
fn dressed() -> impl Strategy<Value = String> {
    let dress = select(vec![
        (" ", ""),
        ("", " "),
        (" <", ">"),
        ("<", ">"),
        ("A <", ">"),
        ("mailto:", ""),
        ("tel:", ""),
        ("", "\n"),
    ]);
    (valid(), dress).prop_map(|(address, (before, after))| format!("{before}{address}{after}"))
}

fn valid() -> impl Strategy<Value = String> {
    let phone = spaced_phone().prop_map(|(spaced, _)| spaced);
    prop_oneof![phone, "[0-9]{2,6}".boxed(), sender_name(), email()]
}

/// Valid addresses and near misses.
fn near_or_any() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => valid(),
        6 => near_miss::near(valid()),
        2 => near_miss::near(sender_name()),
        1 => dressed(),
        1 => near_miss::any_text(),
    ]
}

/// Random inputs hit few characters in few places; this tries all that the grammars know, and more.
#[test]
fn the_grammar_decides_on_every_character_in_every_place() {
    let places = [
        "_",
        "Acme_",
        "_Acme",
        "A_c",
        "+_12016661234",
        "_+12016661234",
        "+1201_6661234",
        "12016661234_",
        "9_11",
        "a_b@example.com",
        "_@example.com",
        "a+_@example.com",
        "\"a_b\"@example.com",
        "\"a\\_b\"@example.com",
        "a@exa_mple.com",
        "a@_",
        "a@[_]",
        "a@b._",
        "a@_b.com",
        "_<a@example.com>",
        " <a@example.com>_",
    ];
    for character in '\0'..='\u{17f}' {
        for place in places {
            claims::address::of_text(&place.replace('_', &character.to_string()));
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_text_is_an_address_if_the_grammar_says_so(text in near_or_any()) {
        claims::address::of_text(&text);
    }

    #[test]
    fn separators_never_make_another_participant((spaced, bare) in spaced_phone(), region in select(regions())) {
        for region in [None, Some(region)] {
            let found = Address::recipient(Channel::Sms, &bare, region).unwrap().participant;
            // Longer texts are refused.
            if spaced.chars().count() <= 64 {
                let address = Address::recipient(Channel::Sms, &spaced, region).unwrap();
                prop_assert_eq!(address.given.as_str(), &spaced);
                prop_assert_eq!(&address.participant, &found);
            }
            }
    }

    #[test]
    fn a_region_completes_numbers_and_refuses_none(
        text in prop_oneof![3 => "[+]?[0-9]{3,16}", 1 => "(011|0011|810|010)[1-9][0-9]{6,14}", 2 => "0{1,4}[1-9][0-9]{2,7}", 1 => near_miss::near("[+]?[0-9]{3,16}")], region in select(regions()),
    ) {
        claims::address::of_text_in(&text, region);
    }

    #[test]
    fn a_sender_name_is_folded_and_not_a_recipient(name in sender_name()) {
        let sender = Address::sender(Channel::Mms, &name, None).unwrap();
        prop_assert_eq!(sender.participant.as_str(), name.to_ascii_lowercase());
        prop_assert_eq!(sender.given.as_str(), &name);
        prop_assert!(Address::recipient(Channel::Mms, &name, None).is_err());
    }

    #[test]
    fn case_and_tags_never_make_another_participant(name in "[A-Za-z0-9._-]{0,8}[a-z0-9]", tag in "[+][a-z0-9+]{0,8}", domain in "[A-Za-z0-9]{1,8}[.]com") {
        prop_assume!(!name.starts_with('.') && !name.contains(".."));
        let expected = format!("{name}@{domain}").to_ascii_lowercase();
        let given = [format!("{name}@{domain}"), format!("{name}{tag}@{domain}"), format!("{name}@{domain}").to_uppercase()];
        for text in given {
            let found = Address::recipient(Channel::Email, &text, None).unwrap();
            prop_assert_eq!(found.participant.as_str(), &expected);
        }
    }

    #[test]
    fn a_conversation_has_no_direction(one in valid(), other in prop_oneof![valid(), near_miss::near(valid())]) {
        claims::address::of_two_texts(&one, &other);
        let shown = Participant::find(&one, None).map(|one| one.as_str().to_owned());
        claims::address::of_two_texts(&one, &shown.unwrap_or_default());
    }
}
