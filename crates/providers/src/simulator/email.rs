//! What makes the simulated provider of emails itself.

use domain::Channel;

/// The name of the simulated provider of emails.
pub const EMAIL: &str = "email";

/// It carries nothing else.
pub(super) const CHANNELS: &[Channel] = &[Channel::Email];
