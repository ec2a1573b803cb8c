//! Only errors about a value or a constraint (SQLSTATE classes 22 and 23) refuse something for good. All others may be temporary:
//! the caller tries again.

use domain::{ConversationId, Outcome};
use trunkline_store::{Accepted, Disposition, Settled, StoreError};

use crate::{
    builders::{ALREADY, Held, NOT_YET, SMS, name, retry, up_to},
    world::{Kind, World},
};

/// One code of each class of PostgreSQL's list of error codes, and those that are told apart within one.
const CODES: &[&str] = &[
    "01000", "02000", "03000", "08000", "08003", "08006", "08P01", "09000", "0A000", "0B000", "0F000",
    "0L000", "0P000", "0Z000", "20000", "21000", "22000", "22P02", "23000", "23503", "23505", "23514",
    "24000", "25000", "25006", "25P02", "25P03", "26000", "27000", "28000", "28P01", "2B000", "2D000",
    "2F000", "34000", "38000", "39000", "3B000", "3D000", "3F000", "40000", "40001", "40003", "40P01",
    "42000", "42501", "42601", "42P01", "42P05", "44000", "53000", "53100", "53200", "53300", "54000",
    "55000", "55P03", "57000", "57014", "57P01", "57P02", "57P03", "57P04", "58000", "58030", "72000",
    "F0000", "HV000", "P0000", "P0001", "XX000", "XX001", "XX002",
];

/// Tables that raise the code in `fault`, if there is one, when they are written to; conversations also when they are read.
const FAULTY: &str = "create table fault (code text);
    create function fault() returns boolean volatile language plpgsql as $$
        declare raised text;
        begin
            select code into raised from fault;
            if found then raise exception 'injected' using errcode = raised; end if;
            return true;
        end
    $$;
    create function fail() returns trigger language plpgsql as $$ begin perform fault(); return null; end $$;
    create trigger faulty before insert or update or delete on messages for each statement execute function fail();
    create trigger faulty before insert or update or delete on outbox for each statement execute function fail();
    create trigger faulty before insert or update or delete on attempts for each statement execute function fail();";
const FAULTY_READS: &str = "alter table conversations rename to stored_conversations;
    create view conversations as select * from stored_conversations where fault()";

#[tokio::test]
async fn only_invalid_values_and_violated_constraints_are_refused_for_good() {
    let world = World::create(Kind::Postgres).await;
    let seen = world.outbound().accept();
    let Accepted::New { conversation_id, .. } = world.accept_all(std::slice::from_ref(&seen)).await[0] else {
        panic!("it is new")
    };
    world.execute(FAULTY, "").await;
    for code in CODES {
        // One to settle, one to claim, one to accept.
        let held = Held::at_accept(world.accept(world.outbound().leased(NOT_YET)).await);
        let settlement = held.tried(Outcome::Success, Disposition::Finish);
        let accept = world.outbound().key(code).accept();
        world
            .execute(&format!("insert into fault values ('{code}')"), "")
            .await;
        let accepted = world.store.accept(std::slice::from_ref(&accept)).await;
        check(code, "accept", accepted.map(drop));
        let settled = world.store.settle(std::slice::from_ref(&settlement)).await;
        check(code, "settle", settled.map(drop));
        check(
            code,
            "claim",
            world.store.claim(&name(SMS), up_to(10), ALREADY).await.map(drop),
        );
        let released = world.store.release(&[(held.id, held.token)]).await;
        check(code, "release", released.map(drop));
        world.execute("delete from fault", "").await;

        // The same again, once it has passed.
        let accepted = world.accept_all(std::slice::from_ref(&accept)).await;
        assert!(
            matches!(accepted[..], [Accepted::New { .. }]),
            "{code}: {accepted:?}"
        );
        assert_eq!(world.settle(settlement).await, Settled::Applied, "{code}");
        for claimed in world.claim(SMS, 10, NOT_YET).await {
            let held = Held::from(&claimed);
            world.settle(held.tried(Outcome::Error, retry(NOT_YET))).await;
        }
    }
    world.execute(FAULTY_READS, "").await;
    for code in CODES {
        world
            .execute(&format!("insert into fault values ('{code}')"), "")
            .await;
        check(code, "read", read(&world, conversation_id).await);
        world.execute("delete from fault", "").await;
        assert_eq!(read(&world, conversation_id).await, Ok(()), "{code}");
    }
}

async fn read(world: &World, id: ConversationId) -> Result<(), StoreError> {
    world
        .store
        .conversation(id)
        .await
        .map(|found| assert!(found.is_some()))
}

fn check(code: &str, what: &str, result: Result<(), StoreError>) {
    let is_final = matches!(code, "22000" | "22P02" | "23000" | "23503" | "23505" | "23514");
    let in_doubt =
        code.starts_with("08") || matches!(code, "40003" | "57P01" | "57P02" | "57P03" | "57P04" | "25P03");
    match result {
        Err(StoreError::Refused(_)) => assert!(is_final, "{what}: {code} refuses for good"),
        Err(StoreError::OutcomeUnknown(_)) => {
            assert!(in_doubt && what != "read", "{what}: {code} is in doubt")
        }
        Err(StoreError::Unavailable(_)) => {
            assert!(
                !is_final && (!in_doubt || what == "read"),
                "{what}: {code} is certain"
            );
        }
        Ok(()) => panic!("{what}: {code} went unnoticed"),
    }
}
