//! Spellings of addresses that people, phones and programs write, and the participant each of them is.

use trunkline_domain::{Address, AddressError, Channel, Region, without_display_name};

/// Without a default region.
const NUMBERS: &[(&str, &str)] = &[
    ("+12016661234", "+12016661234"),
    ("+1 (201) 666-1234", "+12016661234"),
    (" +1.201.666.1234 ", "+12016661234"),
    ("(+1) 201 666 1234", "+12016661234"),
    ("1 (201) 666-1234", "12016661234"),
    ("2016661234", "2016661234"),
    ("5551234", "5551234"),
    ("123456789012345", "123456789012345"),
    // Short codes.
    ("12", "12"),
    ("911", "911"),
    ("12345", "12345"),
    ("123456", "123456"),
    ("\u{200e}24365\u{202c}", "24365"),
    (" 24365", "24365"),
    ("٢٤٣٦٥", "24365"),
    // 00 is the plus.
    ("0012016661234", "+12016661234"),
    ("0044 20 7183 8750", "+442071838750"),
    ("(00 44) 20 7183 8750", "+442071838750"),
    ("00-33-1-42-68-53-00", "+33142685300"),
    ("00491751234567890", "+491751234567890"),
    ("00123456789012345", "+123456789012345"),
    // Too short after the zeros, or no calling code: a number of some other kind.
    ("00123456", "00123456"),
    ("0001234567", "0001234567"),
    // A trunk zero in parentheses.
    ("+44 (0)20 7183 8750", "+442071838750"),
    ("+44(0)2071838750", "+442071838750"),
    ("+44 ( 0 ) 20 7183 8750", "+442071838750"),
    ("(+44) (0)20 7183 8750", "+442071838750"),
    ("0044 (0)20 7183 8750", "+442071838750"),
    ("44 (0)20 7183 8750", "442071838750"),
    ("+49 (0) 171 2345678", "+491712345678"),
    ("+358\u{a0}(0)\u{a0}40\u{a0}1234567", "+358401234567"),
    // The zero belongs to the number in Italy, and elsewhere in a number it is a digit.
    ("+39 (0)6 6982 1234", "+390669821234"),
    ("+44 20 (0) 7183 875", "+442007183875"),
    ("(0)20 7183 8750", "02071838750"),
    ("+44(0)1234", "+4401234"),
    // Characters that cannot be seen, and spaces.
    ("\u{202a}+12016661234\u{202c}", "+12016661234"),
    ("\u{200e}+1 201 666 1234", "+12016661234"),
    ("\u{feff}+12016661234", "+12016661234"),
    ("+1\u{200b}201\u{200b}6661234", "+12016661234"),
    ("+1\u{a0}201\u{202f}666\u{2009}1234", "+12016661234"),
    ("+1\u{3000}201\u{3000}666\u{3000}1234", "+12016661234"),
    ("+1\u{ad}201\u{2060}666\u{200d}1234", "+12016661234"),
    ("\u{2066}+1\u{2069} 2016661234\u{61c}", "+12016661234"),
    ("2016661234\t", "2016661234"),
    ("1\u{fe0f}2\u{fe0f}0\u{fe0f}16661234", "12016661234"),
    // Hyphens, dashes and minus signs.
    ("+1\u{2010}201\u{2011}666\u{2012}1234", "+12016661234"),
    ("+1\u{2013}201\u{2014}666\u{2015}1234", "+12016661234"),
    ("+1\u{2212}201\u{fe63}666\u{ff0d}1234", "+12016661234"),
    // Digits of other keyboards.
    ("\u{ff11}2016661234", "12016661234"),
    ("＋１２０１６６６１２３４", "+12016661234"),
    ("＋４４（０）２０　７１８３．８７５０", "+442071838750"),
    ("+٢٠١٠١٢٣٤٥٦٧٨", "+201012345678"),
    ("+۹۸۹۱۲۳۴۵۶۷۸۹", "+989123456789"),
    ("+९१ ९८७६५ ४३२१०", "+919876543210"),
    ("+৮৮০ ১৭১২ ৩৪৫৬৭৮", "+8801712345678"),
    // Schemes of links.
    ("tel:+12016661234", "+12016661234"),
    ("TEL:+1-201-666-1234", "+12016661234"),
    (" tel: 0044 20 7183 8750", "+442071838750"),
    ("sms:+12016661234", "+12016661234"),
    ("tel:911", "911"),
];

const NUMBERS_IN: &[(&str, &str, &str)] = &[
    // All of +1 is one numbering plan.
    ("US", "2016661234", "+12016661234"),
    ("US", "1 (201) 666-1234", "+12016661234"),
    ("US", "+12016661234", "+12016661234"),
    ("US", "416 555 0123", "+14165550123"),
    ("US", "1-787-555-0123", "+17875550123"),
    ("US", "876-555-0123", "+18765550123"),
    ("US", "(809) 555-0123", "+18095550123"),
    ("CA", "201-666-1234", "+12016661234"),
    ("JM", "2016661234", "+12016661234"),
    ("US", "011 44 20 7183 8750", "+442071838750"),
    ("US", "011442071838750", "+442071838750"),
    ("US", "011 44 (0)20 7183 8750", "+442071838750"),
    ("US", "011 49 1512 3456789", "+4915123456789"),
    ("US", "0044 20 7183 8750", "+442071838750"),
    ("US", "442071838750", "+442071838750"),
    ("US", "447911123456", "+447911123456"),
    ("US", "5551234", "5551234"),
    ("US", "12345", "12345"),
    ("US", "1201666123", "1201666123"),
    // Great Britain shares its code with Jersey, Guernsey and Man.
    ("GB", "020 7183 8750", "+442071838750"),
    ("GB", "07797 712345", "+447797712345"),
    ("GB", "01534 456789", "+441534456789"),
    ("GB", "01481 256789", "+441481256789"),
    ("GB", "01624 756789", "+441624756789"),
    ("GB", "0033 1 42 68 53 00", "+33142685300"),
    ("GB", "442071838750", "+442071838750"),
    ("GB", "44 (0)20 7183 8750", "+442071838750"),
    ("JE", "020 7183 8750", "+442071838750"),
    ("IM", "07911 123456", "+447911123456"),
    // Other shared codes.
    ("IT", "06 698 12345", "+390669812345"),
    ("VA", "06 6982 1234", "+390669821234"),
    ("IT", "347 1234567", "+393471234567"),
    ("NO", "79 02 12 34", "+4779021234"),
    ("SJ", "22 12 34 56", "+4722123456"),
    ("FI", "018 12345", "+3581812345"),
    ("AX", "09 1234 5678", "+358912345678"),
    ("RU", "8 727 234 5678", "+77272345678"),
    ("KZ", "8 (912) 345-67-89", "+79123456789"),
    ("RU", "810442071838750", "+442071838750"),
    ("AU", "0412 345 678", "+61412345678"),
    ("AU", "0011 44 20 7183 8750", "+442071838750"),
    ("AU", "08 9164 1234", "+61891641234"),
    ("CX", "0412 345 678", "+61412345678"),
    ("GP", "0690 00 12 34", "+590690001234"),
    ("MF", "0690 00 12 34", "+590690001234"),
    ("YT", "0692 12 34 56", "+262692123456"),
    ("FR", "06 12 34 56 78", "+33612345678"),
    ("JP", "010 44 20 7183 8750", "+442071838750"),
    ("JP", "090-1234-5678", "+819012345678"),
    ("BR", "0015 1 201 666 1234", "+12016661234"),
    ("BR", "00 1 415 555 2671", "+14155552671"),
    // A mobile number wins.
    ("DE", "4917612345678", "+4917612345678"),
    ("DE", "0176 12345678", "+4917612345678"),
    ("DE", "017612345678", "+4917612345678"),
    ("DE", "030 123456", "+4930123456"),
    ("DE", "0044 20 7183 8750", "+442071838750"),
    ("DE", "٠١٧٦١٢٣٤٥٦٧٨", "+4917612345678"),
    ("IN", "919876543210", "+919876543210"),
    ("IN", "98765 43210", "+919876543210"),
    ("FR", "33612345678", "+33612345678"),
    // Valid, but too long for E.164 with its code.
    ("DE", "2010000000000", "+492010000000000"),
    ("DE", "20100000000000", "20100000000000"),
];

#[test]
fn a_number_is_one_participant_in_every_spelling() {
    for (text, expected) in NUMBERS {
        let address = Address::recipient(Channel::Sms, text, None);
        let address = address.unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(address.participant.as_str(), *expected, "{text:?}");
        assert_eq!(address.given.as_str(), *text);
    }
}

#[test]
fn a_default_region_completes_numbers_of_its_calling_code_and_of_abroad() {
    let mut wrong = Vec::new();
    for (region, text, expected) in NUMBERS_IN {
        let region: Region = region.parse().unwrap();
        let found = Address::recipient(Channel::Mms, text, Some(region)).map(|address| address.participant);
        let found = found.as_ref().map(|found| found.as_str()).unwrap_or("refused");
        if found != *expected {
            wrong.push(format!("{region:?} {text:?}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_refused_number_names_the_wrong_character() {
    let cases = [
        ("201/6661234", "'/' (character 4)"),
        ("+1202555010a", "'a' (character 12)"),
        ("12+3456789", "'+' (character 3)"),
        ("++12016661234", "'+' (character 2)"),
        ("2016661234\0", "U+0000 (character 11)"),
        ("2016661234\n", "U+000A (character 11)"),
        ("201\u{2028}6661234", "U+2028 (character 4)"),
        ("tel:+12016661234;ext=5", "';' (character 17)"),
        ("fax:+12016661234", "'f' (character 1)"),
        ("a@example.com", "'a' (character 1)"),
        ("+1201666123²", "'²' (character 12)"),
        ("+1201666123①", "'①' (character 12)"),
    ];
    for (text, named) in cases {
        let error = Address::recipient(Channel::Sms, text, None)
            .unwrap_err()
            .to_string();
        let expected = format!("{named} is not allowed there; use a phone number");
        assert!(error.starts_with(&expected), "{text:?}: {error}");
    }
    let long = format!("2016661234{}", " ".repeat(64));
    for text in [
        "",
        "+",
        "1",
        "12-34",
        "+12345",
        "1234567890123456",
        "\u{200e}",
        "tel:",
        &long,
    ] {
        let error = Address::recipient(Channel::Sms, text, None).unwrap_err();
        assert_eq!(error, AddressError::Phone(None), "{text:?}");
        assert!(error.to_string().starts_with("use a phone number"), "{error}");
    }
}

#[test]
fn a_sender_may_have_a_name() {
    let cases = [
        ("Acme", "acme"),
        ("My Shop", "my shop"),
        ("AT&T_2.0-x", "at&t_2.0-x"),
        ("Go! Why? *+1", "refused"),
        ("Go!Why?*+1", "go!why?*+1"),
        ("3M", "3m"),
        ("+1A", "+1a"),
        ("7-Eleven", "7-eleven"),
        ("12", "12"),
        ("0044 20 7183 8750", "+442071838750"),
    ];
    for (text, expected) in cases {
        let found = Address::sender(Channel::Sms, text, None).map(|address| address.participant);
        let found = found.as_ref().map(|found| found.as_str()).unwrap_or("refused");
        assert_eq!(found, expected, "{text:?}");
        let is_name = expected.contains(|letter: char| letter.is_ascii_lowercase());
        assert!(
            !is_name || Address::recipient(Channel::Sms, text, None).is_err(),
            "{text:?}"
        );
    }
    let refused = [
        (
            "A/B",
            "'/' (character 2) is not allowed there; use a phone number",
        ),
        (
            "M\u{fc}ller",
            "'ü' (character 2) is not allowed there; use a phone number",
        ),
        (
            "Acme\u{200b}",
            "U+200B (character 5) is not allowed there; use a phone number",
        ),
        ("TwelveLetter", "use a phone number"),
        // Too long for a name: a number with a wrong character.
        (
            "+1201666123x",
            "'x' (character 12) is not allowed there; use a phone number",
        ),
        (
            "1 201 666 123O",
            "'O' (character 14) is not allowed there; use a phone number",
        ),
        ("--", "use a phone number"),
        ("", "use a phone number"),
    ];
    for (text, expected) in refused {
        let error = Address::sender(Channel::Sms, text, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

const EMAILS: &[(&str, &str)] = &[
    ("User@Example.COM", "user@example.com"),
    ("user+news@example.com", "user@example.com"),
    ("user+a+b@example.com", "user@example.com"),
    ("+tag@example.com", "+tag@example.com"),
    ("a.+tag@example.com", "a.+tag@example.com"),
    ("\"a+b\"@example.com", "\"a+b\"@example.com"),
    ("\"a@b c\"@example.com", "\"a@b c\"@example.com"),
    ("o'brien@example.com", "o'brien@example.com"),
    ("user@localhost", "user@localhost"),
    ("user@mail_1.example.com", "user@mail_1.example.com"),
    ("user@[127.0.0.1]", "user@[127.0.0.1]"),
    ("user@[IPv6:2001:DB8::1]", "user@[ipv6:2001:db8::1]"),
    ("u@B\u{dc}CHER.example", "u@xn--bcher-kva.example"),
    ("u@bu\u{308}cher.example", "u@xn--bcher-kva.example"),
    ("u@b\u{fc}cher.example", "u@xn--bcher-kva.example"),
    ("u@faß.example", "u@xn--fa-hia.example"),
    ("u@例え。テスト", "u@xn--r8jz45g.xn--zckzah"),
    // A composed and a decomposed letter are one participant.
    ("jos\u{e9}@example.com", "jos\u{e9}@example.com"),
    ("jose\u{301}@example.com", "jos\u{e9}@example.com"),
    ("JOSE\u{301}+x@example.com", "jos\u{e9}@example.com"),
    ("\u{d55c}\u{ae00}@example.com", "\u{d55c}\u{ae00}@example.com"),
    (
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}@example.com",
        "\u{d55c}\u{ae00}@example.com",
    ),
    // Scripts with combining marks.
    ("उपयोगकर्ता@उदाहरण.भारत", "उपयोगकर्ता@xn--p1b6ci4b4b3a.xn--h2brj9c"),
    ("ผู้ใช้@ตัวอย่าง.ไทย", "ผู้ใช้@xn--72c1a1bt4awk9o.xn--o3cw4h"),
    ("பயனர்@உதாரணம்.இந்தியா", "பயனர்@xn--zkc6cc5bi7f6e.xn--xkc2dl3a5ee0h"),
    ("మీరు@example.com", "మీరు@example.com"),
    ("người@example.com", "người@example.com"),
    (
        "ngu\u{31b}\u{300}o\u{31b}\u{300}i@example.com",
        "ngừờ\u{69}@example.com",
    ),
    ("کاربر\u{200c}ها@example.com", "کاربر\u{200c}ها@example.com"),
    ("дмитрий@пример.рф", "дмитрий@xn--e1afmkfd.xn--p1ai"),
    ("χρήστης@παράδειγμα.ελ", "χρήστης@xn--hxajbheg2az3al.xn--qxam"),
    ("用户@例子.中国", "用户@xn--fsqu00a.xn--fiqs8s"),
    ("\u{1f44d}@example.com", "\u{1f44d}@example.com"),
];

#[test]
fn an_email_address_is_one_participant_in_every_spelling() {
    let mut wrong = Vec::new();
    for (text, expected) in EMAILS {
        let found = Address::sender(Channel::Email, text, None).map(|address| address.participant);
        let found = found.as_ref().map(|found| found.as_str()).unwrap_or("refused");
        if found != *expected {
            wrong.push(format!("{text:?}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_refused_email_address_names_the_wrong_character() {
    let cases = [
        ("a b@example.com", "U+0020 (character 2) is not"),
        (" a@example.com", "U+0020 (character 1) is not"),
        ("Al <a@example.com>", "U+0020 (character 3) is not"),
        ("mailto:a@example.com", "':' (character 7) is not"),
        ("a@b@example.com", "'@' (character 2) is not"),
        ("a\0@example.com", "U+0000 (character 2) is not"),
        ("a\u{200b}@example.com", "U+200B (character 2) is not"),
        ("a@exam\u{202e}ple.com", "U+202E (character 7) is not"),
        ("a@exam ple.com", "U+0020 (character 7) is not"),
        ("a@example.com?subject=x", "'?' (character 14) is not"),
        ("a@example.com\r\nBcc: b", "U+000D (character 14) is not"),
        ("", "use an email address"),
        ("user", "use an email address"),
        ("2016661234", "use an email address"),
        ("@example.com", "use an email address"),
        ("user@", "use an email address"),
        ("a@example..com", "use an email address"),
        ("a@-example.com", "use an email address"),
        // In a domain these stand for (1), and for words with spaces between them.
        ("a@b\u{2474}.com", "use an email address"),
        ("a@\u{fdfa}.com", "use an email address"),
        // Longer in lower case than a local part may be.
        (
            &format!("{}@example.com", "\u{23a}".repeat(32)),
            "use an email address",
        ),
    ];
    for (text, expected) in cases {
        let error = Address::recipient(Channel::Email, text, None)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn the_address_counts_and_not_the_display_name() {
    let cases = [
        ("a@example.com", "a@example.com"),
        (" a@example.com\u{200e}", "a@example.com"),
        ("<a@example.com>", "a@example.com"),
        ("Jane Doe <a@example.com>", "a@example.com"),
        ("\"Doe, Jane\" <a@example.com>", "a@example.com"),
        ("\"Jane <jane>\" <a@example.com> ", "a@example.com"),
        ("=?UTF-8?Q?J=C3=A4ne?= <a@example.com>", "a@example.com"),
        ("Jäne\u{a0}Doe < a@example.com >", "a@example.com"),
        ("b@example.com <a@example.com>", "a@example.com"),
        ("Jane <\"a<b\"@example.com>", "\"a<b\"@example.com"),
        ("root@example.com (Cron Daemon)", "root@example.com"),
        ("Jane <a@example.com> (work)", "a@example.com"),
        ("\"a (b\"@example.com (c)", "\"a (b\"@example.com"),
        ("(Cron Daemon)", "(Cron Daemon)"),
        ("a (b)@example.com", "a (b)@example.com"),
        ("Jane <no address>", "Jane <no address>"),
        ("Jane <a@example.com", "Jane <a@example.com"),
        ("+1 201 666 1234", "+1 201 666 1234"),
    ];
    for (text, expected) in cases {
        assert_eq!(without_display_name(text), expected, "{text:?}");
    }
}
