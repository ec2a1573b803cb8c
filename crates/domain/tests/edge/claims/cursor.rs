use std::fmt::Debug;

use trunkline_domain::{ConversationPosition, MessageId, Position, ThreadPosition};

/// A text is the one spelling of one position in one listing, or refused.
pub fn of_text(text: &str) {
    let listings = [
        read::<ConversationPosition>(text, 'c'),
        read::<ThreadPosition>(text, 't'),
        read::<MessageId>(text, 'm'),
    ];
    let readers = listings.iter().filter(|read| **read).count();
    assert!(readers <= 1, "{text:?} is a cursor of {readers} listings");
}

/// A position survives the way to a client and back.
pub fn of_position<P: Position + PartialEq + Debug>(position: &P) {
    assert_eq!(P::from_cursor(&position.to_cursor()).as_ref(), Ok(position));
}

fn read<P: Position + PartialEq + Debug>(text: &str, letter: char) -> bool {
    let Ok(position) = P::from_cursor(text) else {
        return false;
    };
    assert_eq!(position.to_cursor(), text, "two cursors for one position");
    assert!(text.starts_with(letter) && text.is_ascii());
    true
}
