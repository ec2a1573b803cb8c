use trunkline_domain::{ConversationId, MessageId, ProviderMessageId, ProviderName};

/// Any text as an id or a name of any kind.
pub fn of_text(text: &str) {
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let is_number = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    let number = text.parse::<i64>().ok().filter(|number| is_number && *number > 0);
    let found = text.parse::<ConversationId>().ok();
    assert_eq!(found.map(ConversationId::get), number);

    let odd = text.chars().filter(|character| character.is_control()).count();
    let fits = odd == 0 && (1..=255).contains(&text.chars().count());
    let found = text.parse::<ProviderMessageId>().ok();
    let expected = Some(text).filter(|_| fits);
    assert_eq!(found.as_ref().map(ProviderMessageId::as_str), expected);

    let allowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
    let fits = text.chars().all(|letter| allowed.contains(letter)) && (1..=32).contains(&text.len());
    let found = text.parse::<ProviderName>().ok();
    assert_eq!(
        found.as_ref().map(ProviderName::as_str),
        Some(text).filter(|_| fits)
    );
}
