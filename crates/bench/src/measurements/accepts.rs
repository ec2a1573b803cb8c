use std::{sync::Arc, time::Duration};

use domain::{
    Channel, Clock, Draft, DraftRules, Entropy, Fingerprint, MessageId, NewMessage, Origin, ProviderName,
    SystemClock,
};
use store::{Accept, IdempotentRequest, Kind};

use super::PAIRS;

/// Makes messages as the service gives them to its store. All but ids and keys are prepared.
pub(super) struct Accepts {
    clock: Arc<SystemClock>,
    ids: Entropy,
    provider: ProviderName,
    prepared: Vec<NewMessage>,
}

impl Accepts {
    pub(super) fn new(clock: Arc<SystemClock>) -> anyhow::Result<Self> {
        let prepared = (0..PAIRS).map(|pair| {
            let draft = Draft {
                origin: Origin::Client,
                channel: Channel::Sms,
                from: Some(format!("+1202{pair:07}")),
                to: Some(format!("+1303{pair:07}")),
                subject: None,
                body: Some("x".repeat(160)),
                attachments: None,
                timestamp: None,
                send_at: None,
                expires_at: None,
                metadata: None,
            };
            let rules = DraftRules {
                default_region: None,
                attachments_max: 0,
            };
            let checked = draft.check(&rules, clock.now());
            checked.map_err(|errors| anyhow::anyhow!("{errors:?}"))
        });
        let prepared = prepared.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            clock,
            ids: Entropy::from_system(),
            provider: "sms-mms".parse()?,
            prepared,
        })
    }

    pub(super) fn batch(&self, messages: usize) -> Vec<Accept> {
        (0..messages).map(|_| self.accept()).collect()
    }

    fn accept(&self) -> Accept {
        let (now, random) = (self.clock.now(), self.ids.next_u64());
        let message = &self.prepared[(random % u64::from(PAIRS)) as usize];
        Accept {
            id: MessageId::mint(now, &self.ids),
            message: message.clone(),
            processed_at: now,
            provider: self.provider.clone(),
            kind: Kind::Send {
                request: Some(IdempotentRequest {
                    key: format!("{random:032x}")
                        .parse()
                        .expect("hexadecimal digits are a key"),
                    fingerprint: Fingerprint::of([Some("x")]),
                }),
                deadline: Duration::from_secs(14_400),
                lease: None,
            },
        }
    }
}
