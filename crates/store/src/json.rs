use domain::Attachments;

/// Attachments as the databases store them: a JSON array, or null without attachments.
pub(crate) fn from_attachments(attachments: &Attachments) -> Option<String> {
    let strings = attachments.as_slice();
    (!strings.is_empty()).then(|| serde_json::Value::from(strings).to_string())
}

/// `None` if the column is no array of strings.
pub(crate) fn to_attachments(json: Option<&str>) -> Option<Attachments> {
    let urls = json.map_or(Ok(Vec::new()), serde_json::from_str).ok()?;
    Some(Attachments::from_stored(urls))
}
