//! What stands in one table and speaks of another: the databases themselves refuse what would be about nothing.

use domain::Outcome;
use trunkline_store::Disposition;

use crate::{
    builders::{NOT_YET, SMS},
    world::World,
};

/// Rows about a message or a conversation that is not there; `$now` and `$nobody` are written differently in each database.
const ABOUT_NOTHING: [&str; 4] = [
    "insert into messages (id, conversation_id, sequence, direction, channel, sender, recipient, body, timestamp, processed_at)
     values ($nobody, 99, 1, 'inbound', 'sms', 'a', 'b', 'c', $now, $now)",
    "insert into outbox (message_id, provider, due_at, lease_token, deadline_at)
     values ($nobody, 'sms-mms', $now, 0, $now)",
    "insert into attempts (message_id, number, lease_token, provider, outcome, occurred_at, latency_ms)
     values ($nobody, 1, 1, 'sms-mms', 'error', $now, 1)",
    "insert into receipts (provider, provider_message_id, payload, message_id)
     values ('sms-mms', 'p', '{}', $nobody)",
];

pub(crate) async fn what_refers_to_nothing_is_refused(world: &World) {
    world.accept(world.outbound()).await;
    for statement in ABOUT_NOTHING {
        let refused = world
            .try_execute(
                &statement
                    .replace("$now", "now()")
                    .replace("$nobody", "gen_random_uuid()"),
                &statement
                    .replace("$now", "0")
                    .replace("$nobody", "randomblob(16)"),
            )
            .await;
        let error = refused.expect_err(statement).to_lowercase();
        assert!(error.contains("foreign key"), "{statement}: {error}");
    }
    assert_eq!(world.messages().await.len(), 1);
}

pub(crate) async fn what_is_referred_to_stays(world: &World) {
    world.accept(world.outbound()).await;
    let waiting = world.claim_one(SMS, NOT_YET).await;
    for table in ["messages", "conversations"] {
        let delete = format!("delete from {table}");
        assert!(world.try_execute(&delete, &delete).await.is_err(), "{table}");
    }
    world
        .settle(waiting.tried(Outcome::Success, Disposition::Finish))
        .await;
    let delete = "delete from messages";
    assert!(
        world.try_execute(delete, delete).await.is_err(),
        "attempts speak of it"
    );
    assert_eq!(world.messages().await.len(), 1);
}
