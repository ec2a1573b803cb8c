//! Lasting faults: how they begin and end.

use tokio_postgres::Client;

use super::{NODES, Storm, Trouble};
use crate::world::{connect, execute};

/// Bytes a second, in each direction: about half of what the load needs.
const SLOW_LINK_BYTES: u64 = 150_000;
/// Few, so that other entries continue.
const LOCKED_ROWS: usize = 3;

/// A lasting fault under way.
pub(super) struct UnderWay {
    trouble: Trouble,
    /// The session that holds locks; they end with it.
    locks: Option<Client>,
}

impl Storm {
    pub(super) async fn begin_trouble(&mut self, trouble: Trouble) -> UnderWay {
        let mut locks = None;
        match trouble {
            Trouble::SlowLink => self.proxy.limit(Some(SLOW_LINK_BYTES), Some(SLOW_LINK_BYTES)),
            Trouble::LockedRows => {
                let client = connect(&self.url).await.unwrap();
                let statement = format!(
                    "begin; select from outbox where dead_at is null order by message_id desc limit {LOCKED_ROWS} \
                     for update skip locked"
                );
                client.batch_execute(&statement).await.unwrap();
                locks = Some(client);
            }
            Trouble::RevokedRights => self.execute("revoke insert on attempts from nodes").await,
            Trouble::UnequalNode(place) => {
                self.lacking[place] = true;
                self.replace(place).await;
            }
        }
        UnderWay { trouble, locks }
    }

    async fn execute(&self, statement: &str) {
        execute(&self.url, statement).await.unwrap();
    }

    /// Undoes what a failed fault left behind.
    pub(super) async fn end_all_troubles(&mut self) {
        self.proxy.limit(None, None);
        self.lacking = [false; NODES];
        self.administer("reset default_transaction_read_only").await;
        self.execute("grant insert on attempts to nodes").await;
    }

    pub(super) async fn end_trouble(&mut self, UnderWay { trouble, locks }: UnderWay) {
        match trouble {
            Trouble::SlowLink => self.proxy.limit(None, None),
            Trouble::LockedRows => drop(locks),
            Trouble::RevokedRights => self.execute("grant insert on attempts to nodes").await,
            Trouble::UnequalNode(place) => {
                self.lacking[place] = false;
                self.replace(place).await;
            }
        }
    }
}
