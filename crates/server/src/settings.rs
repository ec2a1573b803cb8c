use domain::DraftRules;
use ipnet::IpNet;

use crate::{AllowedHosts, ApiKeys};

#[derive(Debug, Clone)]
pub struct ServerSettings {
    pub body_bytes_max: usize,
    pub drafts: DraftRules,
    /// Grapheme clusters in a snippet.
    pub snippet_graphemes: usize,
    /// `None`: the API needs no key.
    pub api_keys: Option<ApiKeys>,
    /// The names allowed in `Host`; `None` allows all.
    pub allowed_hosts: Option<AllowedHosts>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
}
