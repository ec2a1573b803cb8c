use domain::DraftRules;
use ipnet::IpNet;

use crate::{AllowedHosts, ApiKeys};

/// What the operator decides about the HTTP side.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// What messages are checked against.
    pub drafts: DraftRules,
    /// Grapheme clusters in a snippet.
    pub snippet_graphemes: usize,
    /// Who may ask; `None` lets everybody.
    pub api_keys: Option<ApiKeys>,
    /// The names in `Host` by which the node may be asked; `None` allows all.
    pub allowed_hosts: Option<AllowedHosts>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}
