//! What a database refuses for good: it takes a trigger to get there, because what the domain lets in fits the schema.

use std::sync::Arc;

use domain::{Direction, Outcome, Status};
use tokio::task::JoinSet;
use trunkline_store::{AcceptError, Accepted, Disposition, StoreError};

use crate::{
    builders::{EMAIL, Held, NOT_YET, SMS, request},
    import::past,
    world::World,
};

/// From now on the database refuses messages that say "poison".
async fn refuse_poison(world: &World) {
    let postgres = "create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'no poison here' using errcode = 'check_violation'; end
        $$;
        create trigger no_poison before insert on messages for each row when (new.body = 'poison')
            execute function refuse()";
    let sqlite = "create trigger no_poison before insert on messages when new.body = 'poison'
            begin select raise(abort, 'no poison here'); end";
    world.execute(postgres, sqlite).await;
}

pub(crate) async fn a_refused_message_fails_alone(world: &World) {
    refuse_poison(world).await;
    let committer = Arc::new(world.group_commit(100, 100));
    let mut requests = JoinSet::new();
    for number in 0..21 {
        let body = if [0, 7, 8, 20].contains(&number) {
            "poison"
        } else {
            "fine"
        };
        let draft = world.outbound().key(&number.to_string()).body(body);
        let (committer, accept) = (Arc::clone(&committer), draft.accept());
        requests.spawn(async move { (body, committer.accept(accept).await) });
    }
    let mut sequences = Vec::new();
    for (body, answer) in requests.join_all().await {
        match answer {
            Ok(Accepted::New { sequence, .. }) if body == "fine" => sequences.push(sequence),
            Err(AcceptError::Refused(reason)) if body == "poison" => assert!(reason.contains("no poison")),
            other => panic!("{body}: {other:?}"),
        }
    }
    sequences.sort_unstable();
    assert!(sequences.into_iter().eq(1..=17));
    world.check_conversations().await;
    assert_eq!(world.messages().await.len(), 17);
    assert_eq!(world.claim(SMS, 100, NOT_YET).await.len(), 17);
    // Nothing is left of the others: their keys are free.
    assert_eq!(world.store.find_repeated(&request("7", "poison")).await, Ok(None));
    let usable = world.outbound().key("7").body("fine").accept();
    assert!(matches!(
        committer.accept(usable).await,
        Ok(Accepted::New { sequence: 18, .. })
    ));
}

pub(crate) async fn a_refused_batch_leaves_no_trace(world: &World) {
    refuse_poison(world).await;
    let batch = [
        world.outbound().key("k").accept(),
        world.inbound("p").accept(),
        world
            .outbound()
            .email("a@example.com", "b@example.com")
            .body("poison")
            .accept(),
    ];
    let refused = world.store.accept(&batch).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(
        (world.conversations().await, world.messages().await),
        (vec![], vec![])
    );
    assert_eq!(
        world.store.find_accepted(&batch).await,
        Ok(vec![None, None, None])
    );
    assert_eq!(world.claim(SMS, 10, NOT_YET).await, []);
    assert_eq!(world.claim(EMAIL, 10, NOT_YET).await, []);
    let answers = world.accept_all(&batch[..2]).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Accepted::New { .. }))
    );
}

pub(crate) async fn a_refused_settlement_changes_nothing(world: &World) {
    let postgres = "create function refuse() returns trigger language plpgsql as $$
            begin raise exception 'no end' using errcode = 'check_violation'; end
        $$;
        create trigger no_end before delete on outbox for each row execute function refuse()";
    let sqlite = "create trigger no_end before delete on outbox begin select raise(abort, 'no end'); end";
    world.execute(postgres, sqlite).await;
    let id = world.accept(world.outbound().leased(NOT_YET)).await;
    let before = world.detail(id).await;
    let settlement = Held::at_accept(id).tried(Outcome::Success, Disposition::Finish);
    let refused = world.store.settle(&[settlement]).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(world.detail(id).await, before);
    assert_eq!(
        (before.message.status, before.attempts),
        (Status::Pending, vec![])
    );
}

pub(crate) async fn the_raw_payload_is_kept(world: &World) {
    world.accept(world.inbound("p \u{e9}")).await;
    let kept = world.query("select payload from inbound_ids").await;
    assert_eq!(kept, ["{\"id\":\"p \u{e9}\"}"]);
}

pub(crate) async fn the_payload_of_an_import_is_kept(world: &World) {
    let import = past(world.outbound().accept(), Direction::Outbound, "kept");
    assert_eq!(world.store.import(&[import]).await, Ok(1));
    let kept = world.query("select payload from inbound_ids").await;
    assert_eq!(kept, [r#"{"from":"elsewhere"}"#]);
}
