//! Proving to a certificate authority that a domain is ours.

use async_trait::async_trait;

use super::PortResult;

/// Puts TXT records into the domain name system, as the operator's name server wants it.
#[async_trait]
pub trait DnsRecords: Send + Sync {
    /// Adds the value to the name's TXT records. Others that the name has stay: one order needs two of them.
    async fn present(&self, name: &str, value: &str) -> PortResult<()>;
    /// Takes the value away again.
    async fn cleanup(&self, name: &str, value: &str) -> PortResult<()>;
}
