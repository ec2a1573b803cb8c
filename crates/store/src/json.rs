use domain::{Attachments, Metadata};

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

/// Metadata as the databases store it: a JSON object, or null if it is empty.
pub(crate) fn from_metadata(metadata: &Metadata) -> Option<String> {
    let object = || serde_json::json!(metadata.entries()).to_string();
    (!metadata.is_empty()).then(object)
}

/// `None` if the column is no object of texts within the bounds of metadata.
pub(crate) fn to_metadata(json: Option<&str>) -> Option<Metadata> {
    let entries = json.map_or(Ok(Default::default()), serde_json::from_str).ok()?;
    Metadata::new(entries).ok()
}
