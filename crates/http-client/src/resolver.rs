use std::{fmt::Debug, io, net::IpAddr};

use async_trait::async_trait;

/// Looks up names.
#[async_trait]
pub trait Resolver: Debug + Send + Sync {
    /// # Errors
    /// When the name is not known or cannot be looked up.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's look-up.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}
