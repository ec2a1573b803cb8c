use std::fmt::Debug;

use trunkline_domain::{ConversationPosition, MessageId, Position, ThreadPosition};

/// Any text as a cursor: it is the one word for one position of one listing, or nobody's.
pub fn of_text(text: &str) {
    let listings = [
        read::<ConversationPosition>(text, 'c'),
        read::<ThreadPosition>(text, 't'),
        read::<MessageId>(text, 'm'),
    ];
    let readers = listings.iter().filter(|read| **read).count();
    assert!(readers <= 1, "{text:?} is a cursor of {readers} listings");
}

/// A position goes to a client and comes back as itself.
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
