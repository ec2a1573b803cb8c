use domain::Region;
use ipnet::IpNet;

use crate::ApiKeys;

/// What the operator decides about the HTTP side.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Attachments of one message at most.
    pub attachments_max: usize,
    /// Grapheme clusters in a snippet.
    pub snippet_graphemes: usize,
    /// The region in which national phone numbers are read.
    pub default_region: Option<Region>,
    /// Who may ask; `None` lets everybody.
    pub api_keys: Option<ApiKeys>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}
