use thiserror::Error;
use uuid::Uuid;

use crate::{Conversation, ConversationId, EventId, Message, MessageId, Timestamp};

/// Items on a page if the request does not say.
pub const PAGE_SIZE_DEFAULT: u32 = 50;
pub const PAGE_SIZE_MAX: u32 = 200;
/// Bytes of text on a page of messages. A larger message has a page of its own. Sixteen bodies of the default limit fit, and
/// far more than 200 messages of usual size.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Counting the items of a listing stops here, so that a total stays cheap.
pub const TOTAL_COUNTED_MAX: u64 = 10_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequest<P> {
    size: u32,
    start: Start<P>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<P> {
    /// At the beginning. The next page may be requested by number or by cursor.
    First,
    /// At the page with this number, from 1.
    Page(u32),
    /// After this position.
    After(P),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T, P> {
    pub items: Vec<T>,
    /// Of the whole listing.
    pub total: Total,
    /// The position of the last item if more follow.
    pub next: Option<P>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Total {
    /// The number of items, or [`TOTAL_COUNTED_MAX`] if there are more.
    pub count: u64,
    pub capped: bool,
}

/// A position in a listing. Clients get it as an opaque cursor and send it back.
pub trait Position: Sized {
    /// Every listing has its own first letter, so that a cursor of another listing is recognized.
    fn to_cursor(&self) -> String;

    /// # Errors
    /// When this listing did not make the cursor.
    fn from_cursor(cursor: &str) -> Result<Self, CursorError>;
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use the next_cursor of an earlier page of this listing, unchanged")]
pub struct CursorError;

/// A place in the list of conversations, latest activity first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConversationPosition {
    pub last_activity_at: Timestamp,
    pub id: ConversationId,
}

/// A place in the list of a conversation's messages, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ThreadPosition {
    pub timestamp: Timestamp,
    pub sequence: u64,
}

/// A place in the list of receipts, latest first. Later receipts have higher numbers, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReceiptPosition(pub u64);

impl ThreadPosition {
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self {
            timestamp: message.timestamp,
            sequence: message.thread.map_or(0, |(_, sequence)| sequence),
        }
    }
}

impl ConversationPosition {
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            last_activity_at: conversation.last_activity_at,
            id: conversation.id,
        }
    }
}

impl<P> PageRequest<P> {
    /// A `size` of 0 means [`PAGE_SIZE_DEFAULT`]; more than [`PAGE_SIZE_MAX`] means that.
    #[must_use]
    pub fn new(size: u32, start: Start<P>) -> Self {
        let size = if size == 0 {
            PAGE_SIZE_DEFAULT
        } else {
            size.min(PAGE_SIZE_MAX)
        };
        Self { size, start }
    }

    /// 1 to [`PAGE_SIZE_MAX`].
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// `None` if the page starts after a position.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self.start {
            Start::First => Some(1),
            Start::Page(number) => Some(number.max(1)),
            Start::After(_) => None,
        }
    }

    #[must_use]
    pub fn after(&self) -> Option<&P> {
        match &self.start {
            Start::First | Start::Page(_) => None,
            Start::After(position) => Some(position),
        }
    }

    #[must_use]
    pub fn is_numbered(&self) -> bool {
        matches!(self.start, Start::Page(_))
    }

    /// Items to skip.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.number()
            .map_or(0, |number| u64::from(number - 1) * u64::from(self.size))
    }
}

impl<T, P> Page<T, P> {
    /// Makes a page of the items that were found. One item more than fits means that more follow.
    #[must_use]
    pub fn of(request: &PageRequest<P>, mut found: Vec<T>, total: Total, position: impl Fn(&T) -> P) -> Self {
        let size = request.size() as usize;
        let more = found.len() > size;
        found.truncate(size);
        Self::new(found, more, total, position)
    }

    #[must_use]
    pub fn new(items: Vec<T>, more: bool, total: Total, position: impl Fn(&T) -> P) -> Self {
        let next = if more { items.last().map(position) } else { None };
        Self { items, total, next }
    }

    /// Whether the page ends early because of [`PAGE_BYTES_MAX`]. The next page by number then skips items.
    #[must_use]
    pub fn is_cut(&self, request: &PageRequest<P>) -> bool {
        self.next.is_some() && self.items.len() < request.size() as usize
    }
}

impl<P> Page<Message, P> {
    /// Makes a page of messages that ends before it exceeds [`PAGE_BYTES_MAX`].
    ///
    /// # Errors
    /// The first error in `found`.
    pub fn of_messages<E>(
        request: &PageRequest<P>,
        found: impl IntoIterator<Item = Result<Message, E>>,
        total: Total,
        position: impl Fn(&Message) -> P,
    ) -> Result<Self, E> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for message in found {
            let message = message?;
            bytes += message.content.bytes();
            if items.len() >= request.size() as usize || (bytes > PAGE_BYTES_MAX && !items.is_empty()) {
                return Ok(Self::new(items, true, total, position));
            }
            items.push(message);
        }
        Ok(Self::new(items, false, total, position))
    }
}

impl Total {
    #[must_use]
    pub fn exact(count: u64) -> Self {
        Self { count, capped: false }
    }

    /// For a count that stopped at [`TOTAL_COUNTED_MAX`] + 1.
    #[must_use]
    pub fn capped(counted: u64) -> Self {
        Self {
            count: counted.min(TOTAL_COUNTED_MAX),
            capped: counted > TOTAL_COUNTED_MAX,
        }
    }
}

impl Position for ConversationPosition {
    fn to_cursor(&self) -> String {
        format!("c{}.{}", self.last_activity_at.as_micros(), self.id)
    }

    fn from_cursor(cursor: &str) -> Result<Self, CursorError> {
        let (micros, id) = cursor
            .strip_prefix('c')
            .and_then(|rest| rest.split_once('.'))
            .ok_or(CursorError)?;
        let position = Self {
            last_activity_at: instant(micros)?,
            id: id.parse().map_err(|_| CursorError)?,
        };
        unchanged(position, cursor)
    }
}

impl Position for ThreadPosition {
    fn to_cursor(&self) -> String {
        format!("t{}.{}", self.timestamp.as_micros(), self.sequence)
    }

    fn from_cursor(cursor: &str) -> Result<Self, CursorError> {
        let (micros, sequence) = cursor
            .strip_prefix('t')
            .and_then(|rest| rest.split_once('.'))
            .ok_or(CursorError)?;
        let sequence: u64 = sequence.parse().map_err(|_| CursorError)?;
        let countable = i64::try_from(sequence).is_ok();
        if !countable {
            return Err(CursorError);
        }
        let position = Self {
            timestamp: instant(micros)?,
            sequence,
        };
        unchanged(position, cursor)
    }
}

impl Position for MessageId {
    fn to_cursor(&self) -> String {
        format!("m{}", self.as_uuid().simple())
    }

    fn from_cursor(cursor: &str) -> Result<Self, CursorError> {
        let id = cursor.strip_prefix('m').and_then(|id| Uuid::try_parse(id).ok());
        unchanged(id.ok_or(CursorError)?.into(), cursor)
    }
}

impl Position for ReceiptPosition {
    fn to_cursor(&self) -> String {
        format!("r{}", self.0)
    }

    fn from_cursor(cursor: &str) -> Result<Self, CursorError> {
        let number = cursor.strip_prefix('r').and_then(|number| number.parse().ok());
        let countable = number.filter(|number| i64::try_from(*number).is_ok());
        unchanged(Self(countable.ok_or(CursorError)?), cursor)
    }
}

/// The place of a delivery in the list of an endpoint's.
impl Position for EventId {
    fn to_cursor(&self) -> String {
        format!("e{self}")
    }

    fn from_cursor(cursor: &str) -> Result<Self, CursorError> {
        let id = cursor.strip_prefix('e').and_then(|id| id.parse().ok());
        unchanged(id.ok_or(CursorError)?, cursor)
    }
}

/// Refuses other spellings of a position, such as `c+5.01`: a cursor has exactly one.
fn unchanged<P: Position>(position: P, cursor: &str) -> Result<P, CursorError> {
    if position.to_cursor() == cursor {
        Ok(position)
    } else {
        Err(CursorError)
    }
}

/// Only instants that [`Timestamp::parse`] accepts: both databases can compare them.
fn instant(micros: &str) -> Result<Timestamp, CursorError> {
    let timestamp = micros
        .parse()
        .ok()
        .and_then(Timestamp::from_micros)
        .ok_or(CursorError)?;
    Timestamp::parse(&timestamp.to_string()).ok_or(CursorError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        let size = |size| PageRequest::<MessageId>::new(size, Start::Page(1)).size();
        assert_eq!(
            [size(0), size(1), size(200), size(201), size(u32::MAX)],
            [50, 1, 200, 200, 200]
        );
        let last = PageRequest::<MessageId>::new(200, Start::Page(u32::MAX));
        assert_eq!(last.offset(), (u64::from(u32::MAX) - 1) * 200);
    }

    #[test]
    fn one_item_more_than_fits_means_that_more_follow() {
        let request = PageRequest::new(2, Start::Page(1));
        let page = |found: Vec<u64>| Page::of(&request, found, Total::exact(9), |item| *item);
        assert_eq!(
            (page(vec![1, 2, 3]).items, page(vec![1, 2, 3]).next),
            (vec![1, 2], Some(2))
        );
        assert_eq!(
            (page(vec![1, 2]).items, page(vec![1, 2]).next),
            (vec![1, 2], None)
        );
    }

    #[test]
    fn a_total_is_capped() {
        assert_eq!(
            Total::capped(10_000),
            Total {
                count: 10_000,
                capped: false
            }
        );
        assert_eq!(
            Total::capped(10_001),
            Total {
                count: 10_000,
                capped: true
            }
        );
    }

    #[test]
    fn a_cursor_of_another_listing_is_refused() {
        let thread = ThreadPosition {
            timestamp: Timestamp::from_micros(5).unwrap(),
            sequence: 3,
        };
        assert_eq!(ThreadPosition::from_cursor(&thread.to_cursor()), Ok(thread));
        assert_eq!(
            ConversationPosition::from_cursor(&thread.to_cursor()),
            Err(CursorError)
        );
        for text in [
            "",
            "c",
            "c1",
            "c1.0",
            "c.1",
            "c99999999999999999999.1",
            "t1.-1",
            "t1.18446744073709551615",
            "t-99999999999999999.1",
        ] {
            assert!(
                ConversationPosition::from_cursor(text).is_err()
                    && ThreadPosition::from_cursor(text).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn another_spelling_of_a_position_is_refused() {
        let id = "m019aa5c8-3f00-7000-8000-000000000001";
        let bare = id.replace('-', "");
        assert!(MessageId::from_cursor(&bare).is_ok());
        for text in [
            id,
            &bare.to_uppercase().replacen('M', "m", 1),
            &format!("murn:uuid:{}", &id[1..]),
        ] {
            assert_eq!(MessageId::from_cursor(text), Err(CursorError), "{text}");
        }
        assert!(ConversationPosition::from_cursor("c5.1").is_ok());
        for text in ["c+5.1", "c05.1", "c5.01", "c-0.1"] {
            assert_eq!(
                ConversationPosition::from_cursor(text),
                Err(CursorError),
                "{text}"
            );
        }
        assert!(ThreadPosition::from_cursor("t5.1").is_ok());
        assert_eq!(ThreadPosition::from_cursor("t5.+1"), Err(CursorError));
    }
}
