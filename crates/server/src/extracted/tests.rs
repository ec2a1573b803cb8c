use super::Extracted;

fn codes(text: &str) -> Vec<String> {
    Extracted::of(None, text).codes
}

fn links(text: &str) -> Vec<String> {
    Extracted::of(None, text).links
}

#[test]
fn codes_are_found_as_they_are_written() {
    let cases: &[(&str, &[&str])] = &[
        // Codes.
        ("Your verification code is 481516", &["481516"]),
        ("481516 is your Acme verification code.", &["481516"]),
        ("G-481516 is your Google verification code.", &["481516"]),
        ("FB-48151 is your Facebook code", &["48151"]),
        (
            "Your WhatsApp code: 481-516\nYou can also tap on this link: v.whatsapp.com/481516",
            &["481516"],
        ),
        ("<#> Your code: 4815\nFA+9qCX9VSu", &["4815"]),
        ("Use 4815 as your PIN.", &["4815"]),
        ("Your PIN: 2024", &["2024"]),
        ("2024 is your Acme code", &["2024"]),
        (
            "Your security code is 123 456. It expires in 10 minutes.",
            &["123456"],
        ),
        ("[Acme] OTP: 00481516.", &["00481516"]),
        ("Acme: your code is 48151623, valid for 5 minutes", &["48151623"]),
        ("Your code:\n\n481516\n\nDo not share it.", &["481516"]),
        ("Your code is *481516*", &["481516"]),
        ("Your code is **481516**", &["481516"]),
        ("Code (481516)", &["481516"]),
        ("\"481516\"", &["481516"]),
        ("code=481516", &["481516"]),
        ("@example.com #747723", &["747723"]),
        ("Your code is 1 2 3 4 5 6.", &["123456"]),
        ("Votre code est 12 34 56", &["123456"]),
        ("Ihr Bestätigungscode lautet 481516", &["481516"]),
        ("Tu código es 4815", &["4815"]),
        ("【Acme】验证码：481516，5分钟内有效", &["481516"]),
        ("验证码2024，请勿泄露", &["2024"]),
        ("Ваш код: 4815", &["4815"]),
        ("Din kod är 4815", &["4815"]),
        (
            "Your Uber code is 4815. Never share this code. Reply STOP ALL to +14155550142 to unsubscribe",
            &["4815"],
        ),
        ("Your code is K7X9Q2", &["K7X9Q2"]),
        ("your code is k7x9q2.", &["k7x9q2"]),
        ("Enter this code: AB12-CD34", &["AB12-CD34"]),
        ("Your sign-in code is\n\nX7K9P2\n\nor use the link", &["X7K9P2"]),
        ("Backup code: 4815-1623", &["48151623"]),
        ("First 481516, then 234210", &["481516", "234210"]),
        ("481516 and again 481516", &["481516"]),
        ("Your order 12345 is on its way", &["12345"]),
        ("Change it to 4815 or 1623.", &["4815", "1623"]),
        ("Your code is 481516 10 minutes are left", &["481516"]),
        ("Code 481516 expires at 12:45 on 21.11.2026", &["481516"]),
        // No codes.
        ("See you in 2026", &[]),
        ("On November 21, 2026 we meet", &[]),
        ("2026-11-21T10:00:00Z", &[]),
        ("21.11.2026", &[]),
        ("11/21/2026", &[]),
        ("Season 2025-2026", &[]),
        ("Backup of 20261121", &[]),
        ("© 2026 Acme Inc.", &[]),
        ("Call +1 804 555 1234", &[]),
        ("Call +18045551234", &[]),
        ("Call (804) 555-1234 or 555-0199", &[]),
        ("Ring 020 7946 0958", &[]),
        ("Tel: 5551234", &[]),
        ("01 23 45 67 89", &[]),
        ("Reply STOP to 24365", &[]),
        ("It costs $1299", &[]),
        ("It costs $1,299.00", &[]),
        ("Pay 1500 USD now", &[]),
        ("Rs. 25000 was debited", &[]),
        ("1299€ or 1 299 €", &[]),
        ("EUR 4500", &[]),
        ("1234.56", &[]),
        ("Save 1000% today", &[]),
        ("https://example.com/481516?code=162342", &[]),
        ("example.com/t/481516", &[]),
        ("www.example.com?x=481516", &[]),
        ("mail 481516@example.com", &[]),
        ("Card ending in 4815", &[]),
        ("Card **4815 was charged", &[]),
        ("a/c XX4815", &[]),
        ("1 Market St, San Francisco, CA 94103", &[]),
        ("Room 4815", &[]),
        ("at 12:3000", &[]),
        ("Card 4815 1623 4234 2108", &[]),
        ("IBAN DE89370400440532013000", &[]),
        ("4815162342", &[]),
        ("123", &[]),
        ("It is 10-12 today", &[]),
        ("Plays MP3 and H264 on the RTX4090", &[]),
        ("ticket AB-12345", &[]),
        ("", &[]),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .filter(|(text, expected)| codes(text) != *expected)
        .collect();
    let found: Vec<_> = wrong.iter().map(|(text, _)| codes(text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}, found {found:?}");
}

#[test]
fn codes_in_html_are_read_as_they_are_shown() {
    let cases: &[(&str, &[&str])] = &[
        ("<p>Your code is <b>481516</b></p>", &["481516"]),
        (
            "<td><span>4</span><span>8</span><span>1</span><span>5</span></td>",
            &["4815"],
        ),
        ("<p>Your code:&nbsp;123&nbsp;456</p>", &["123456"]),
        ("<style>p { color: #481516 } .a1234 {}</style><p>Hi</p>", &[]),
        ("<script>var x = 481516</script><!-- 162342 --><p>Hi</p>", &[]),
        (
            "<img width=\"4815\" src=\"https://example.com/1623\"><p>Hi</p>",
            &[],
        ),
        ("<h1>K7X9Q2</h1>", &["K7X9Q2"]),
        ("<p>&#52;&#x38;15 is your code</p>", &["4815"]),
        ("<p>It costs &euro;4500 or &pound;3900</p>", &[]),
        (
            "<p>Your code: <a href=\"https://example.com/?code=162342\">481516</a></p>",
            &["481516"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(codes(text), *expected, "{text}");
    }
}

#[test]
fn links_are_found_in_text() {
    let cases: &[(&str, &[&str])] = &[
        ("See https://example.com/a.", &["https://example.com/a"]),
        (
            "See https://example.com/a, http://example.org!",
            &["https://example.com/a", "http://example.org"],
        ),
        (
            "(https://en.wikipedia.org/wiki/Rust_(language))",
            &["https://en.wikipedia.org/wiki/Rust_(language)"],
        ),
        ("[a](https://example.com/a)", &["https://example.com/a"]),
        ("<https://example.com/a>", &["https://example.com/a"]),
        ("\"https://example.com/a\"", &["https://example.com/a"]),
        ("**https://example.com/a**", &["https://example.com/a"]),
        ("HTTPS://EXAMPLE.COM/A", &["HTTPS://EXAMPLE.COM/A"]),
        (
            "link:https://example.com/?u=https://b.example/c&x=1#top",
            &["https://example.com/?u=https://b.example/c&x=1#top"],
        ),
        (
            "https://example.com/a https://example.com/a",
            &["https://example.com/a"],
        ),
        ("打开https://example.com/a。", &["https://example.com/a"]),
        ("http://[2001:db8::1]:8080/a", &["http://[2001:db8::1]:8080/a"]),
        (
            "http://localhost:3000/confirm?token=8Zk2-",
            &["http://localhost:3000/confirm?token=8Zk2"],
        ),
        (
            "ftp://example.com https:// http://. example.com/a mailto:a@b.example",
            &[],
        ),
        ("xhttp", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(links(text), *expected, "{text}");
    }
}

#[test]
fn links_are_found_in_html() {
    let cases: &[(&str, &[&str])] = &[
        (
            "<a href=\"https://example.com/a?x=1&amp;y=2\">Confirm</a>",
            &["https://example.com/a?x=1&y=2"],
        ),
        (
            "<a href='https://example.com/a'>https://example.com/a</a>",
            &["https://example.com/a"],
        ),
        ("<A HREF=https://example.com/a>x</A>", &["https://example.com/a"]),
        (
            "<a class=x href = \"https://example.com/a\" >x</a>next",
            &["https://example.com/a"],
        ),
        ("<p>https://example.com/a</p>", &["https://example.com/a"]),
        (
            "<p>See https://example.com/a?x=1&amp;y=2.</p><a href=\"https://b.example/\">b</a>",
            &["https://example.com/a?x=1&y=2", "https://b.example/"],
        ),
        (
            "<form action=\"https://example.com/f\"><button formaction=\"https://example.com/g\">",
            &["https://example.com/f", "https://example.com/g"],
        ),
        (
            "<img src=\"https://example.com/pixel.gif\"><link href=\"https://example.com/a.css\"><p>x</p>",
            &[],
        ),
        (
            "<html xmlns=\"http://www.w3.org/1999/xhtml\"><p>x</p></html>",
            &[],
        ),
        (
            "<!DOCTYPE html PUBLIC \"-//W3C\" \"http://www.w3.org/TR/a.dtd\"><p>x</p>",
            &[],
        ),
        ("<!-- <a href=\"https://example.com/old\">x</a> --><p>x</p>", &[]),
        (
            "<a href=\"mailto:a@b.example\">x</a><a href=\"/a\">y</a><a href=\"#\">z</a>",
            &[],
        ),
        (
            "<p>1 < 2 https://example.com/a > 0</p>",
            &["https://example.com/a"],
        ),
        (
            "<a href=\"https://example.com/never-ends",
            &["https://example.com/never-ends"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(links(text), *expected, "{text}");
    }
}

#[test]
fn the_subject_comes_first() {
    let extracted = Extracted::of(
        Some("481516 is your code"),
        "<p>Your code is 481516, not 162342</p>",
    );
    assert_eq!(extracted.codes, ["481516", "162342"]);
}

#[test]
fn what_is_found_is_bounded() {
    let many: String = (0..1_000)
        .map(|n| format!("https://example.com/{n} code {n:05}; "))
        .collect();
    let found = Extracted::of(None, &many);
    assert_eq!(
        (found.links.len(), found.codes.len()),
        (super::LINKS_MAX, super::CODES_MAX)
    );
}

/// Each would take minutes if the work grew with the square of the length.
#[test]
fn hostile_text_costs_no_more_than_its_length() {
    for unit in [
        "<a ",
        "<a x='",
        "<!--",
        "<style>",
        "http://a)",
        ")",
        "1 ",
        "1-",
        "&",
        "1234 ",
        "is ",
        "code ",
        "*",
        "://",
    ] {
        let text = format!("http://a{}", unit.repeat(200_000 / unit.len()));
        let _ = Extracted::of(None, &text);
    }
}
