use trunkline_domain::{ConversationId, MessageId, ProviderMessageId, ProviderName};

/// A text is an id or name by its rule, or refused.
pub fn of_text(text: &str) {
    let hex = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
    let groups: Vec<&str> = text.split('-').collect();
    let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let fits = sizes == [8, 4, 4, 4, 12] && groups.iter().all(|group| group.chars().all(hex));
    let found = text.parse::<MessageId>().ok();
    let expected = Some(text.to_owned()).filter(|_| fits);
    assert_eq!(found.map(|id| id.to_string()), expected);

    let is_number = !text.starts_with('0') && text.chars().all(|digit| digit.is_ascii_digit());
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
