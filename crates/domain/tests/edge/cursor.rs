use proptest::prelude::*;
use trunkline_domain::{
    ConversationId, ConversationPosition, MessageId, Position, ThreadPosition, Timestamp,
};
use uuid::Uuid;

use crate::{claims, config, near_miss};

/// In the years 1 to 9999, but for the last hours, which no timestamp represents.
fn instant() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000_000..=253_402_207_200_000_000_i64)
        .prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn conversation() -> impl Strategy<Value = ConversationPosition> {
    let id = (1..=i64::MAX).prop_map(|number| ConversationId::new(number).unwrap());
    (instant(), id).prop_map(|(last_activity_at, id)| ConversationPosition { last_activity_at, id })
}

fn thread() -> impl Strategy<Value = ThreadPosition> {
    let sequence = 0..=i64::MAX.unsigned_abs();
    (instant(), sequence).prop_map(|(timestamp, sequence)| ThreadPosition { timestamp, sequence })
}

fn message() -> impl Strategy<Value = MessageId> {
    any::<u128>().prop_map(|bits| MessageId::from(Uuid::from_u128(bits)))
}

fn cursor() -> impl Strategy<Value = String> {
    prop_oneof![
        conversation().prop_map(|position| position.to_cursor()),
        thread().prop_map(|position| position.to_cursor()),
        message().prop_map(|position| position.to_cursor()),
    ]
}

/// Text that resembles a cursor.
fn look_alike() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ctm][+-]?[0-9]{0,20}[.][+-]?[0-9]{0,20}",
        message().prop_map(|id| format!("m{id}")),
        message().prop_map(|id| id.to_cursor().to_uppercase().replacen('M', "m", 1)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_position_survives_the_way_to_a_client_and_back(conversation in conversation(), thread in thread(), message in message()) {
        claims::cursor::of_position(&conversation);
        claims::cursor::of_position(&thread);
        claims::cursor::of_position(&message);
    }

    #[test]
    fn a_position_has_exactly_one_cursor(
        text in prop_oneof![3 => near_miss::near(cursor()), 2 => look_alike(), 1 => near_miss::any_text()],
    ) {
        claims::cursor::of_text(&text);
    }
}
