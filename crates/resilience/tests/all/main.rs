//! Everything through the public interface. One binary, because linking is the slow part.

#[cfg(test)]
mod backoff;
#[cfg(test)]
mod batch_size;
#[cfg(test)]
mod breaker_model;
#[cfg(test)]
mod breaker_properties;
#[cfg(test)]
mod breaker_walk;
#[cfg(test)]
mod client_ip;
#[cfg(test)]
mod client_ip_claims;
#[cfg(test)]
mod client_ip_properties;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod rate_limit;
#[cfg(test)]
mod rate_limit_properties;
