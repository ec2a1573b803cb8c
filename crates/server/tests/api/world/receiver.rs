use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use engine::{CallAnswer, CallError, WebhookCall, WebhookCaller};
use serde_json::Value;

/// An endpoint that takes everything, without a socket.
#[derive(Debug, Default)]
pub struct Receiver {
    taken: Mutex<Vec<Taken>>,
}

/// A webhook that came.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: String,
    pub body: Value,
}

impl Receiver {
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

#[async_trait]
impl WebhookCaller for Receiver {
    fn check(&self, url: &str) -> Result<(), String> {
        let checked = http_client::Target::parse(url);
        checked.map(drop).map_err(|error| error.to_string())
    }

    async fn call(&self, call: WebhookCall) -> Result<CallAnswer, CallError> {
        assert!(call.timeout <= Duration::from_secs(15));
        let id = call.headers.iter().find(|(name, _)| *name == "webhook-id");
        self.taken.lock().unwrap().push(Taken {
            id: id.unwrap().1.clone(),
            body: serde_json::from_slice(&call.body).unwrap(),
        });
        Ok(CallAnswer {
            status: 204,
            body: "".into(),
            retry_after: None,
        })
    }
}
