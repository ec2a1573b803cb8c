//! What makes the simulated provider of text messages itself.

use domain::Channel;

/// The name of the simulated provider of text messages.
pub const SMS_MMS: &str = "sms-mms";

/// One provider for both: as with real carriers, what hits SMS hits MMS too.
pub(super) const CHANNELS: &[Channel] = &[Channel::Sms, Channel::Mms];
