use thiserror::Error;
use uuid::Uuid;

use crate::{Conversation, ConversationId, Message, MessageId, Timestamp};

/// Items on a page when the caller names no number.
pub const PAGE_SIZE_DEFAULT: u32 = 50;
/// The most items on a page.
pub const PAGE_SIZE_MAX: u32 = 200;
/// The most bytes of text on a page of messages; a message larger than that has a page of its own. Sixteen bodies of the largest
/// usual size, and far more than 200 messages of usual size.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// How far the items of a listing are counted, so that a total stays cheap whatever the store holds.
pub const TOTAL_COUNTED_MAX: u64 = 10_000;

/// Which part of a listing is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRequest<P> {
    size: u32,
    start: Start<P>,
}

/// Where a page starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<P> {
    /// At the beginning, whether the rest is then asked for by number or by cursor.
    First,
    /// At the page of this number, counted from 1.
    Page(u32),
    /// After the item at this position, wherever it stands by now.
    After(P),
}

/// Part of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T, P> {
    /// The items, in the order of the listing.
    pub items: Vec<T>,
    /// How many the whole listing has.
    pub total: Total,
    /// The position of the last item, when more follow.
    pub next: Option<P>,
}

/// The number of items of a whole listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Total {
    /// How many, or the number at which counting stopped.
    pub count: u64,
    /// Whether counting stopped there.
    pub capped: bool,
}

/// A position in a listing that can travel to a client and back as an opaque word.
pub trait Position: Sized {
    /// The word. Every listing has its own first letter, so that a cursor of another listing is recognized.
    fn to_cursor(&self) -> String;

    /// Reads the word back.
    ///
    /// # Errors
    /// When it was not made by this listing.
    fn from_cursor(cursor: &str) -> Result<Self, CursorError>;
}

/// A cursor that this listing did not make.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use the next_cursor of an earlier page of this listing, unchanged")]
pub struct CursorError;

/// A place in the list of conversations, latest activity first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConversationPosition {
    /// The latest activity of the conversation.
    pub last_activity_at: Timestamp,
    /// Its id.
    pub id: ConversationId,
}

/// A place in the list of a conversation's messages, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ThreadPosition {
    /// The message's own timestamp.
    pub timestamp: Timestamp,
    /// Its place in the order of joining.
    pub sequence: u64,
}

impl ThreadPosition {
    /// Where a message stands in its conversation.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self {
            timestamp: message.timestamp,
            sequence: message.thread.map_or(0, |(_, sequence)| sequence),
        }
    }
}

impl ConversationPosition {
    /// Where a conversation stands among all of them.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            last_activity_at: conversation.last_activity_at,
            id: conversation.id,
        }
    }
}

impl<P> PageRequest<P> {
    /// A page of `size` items: 0 means [`PAGE_SIZE_DEFAULT`], more than [`PAGE_SIZE_MAX`] means that.
    #[must_use]
    pub fn new(size: u32, start: Start<P>) -> Self {
        let size = if size == 0 {
            PAGE_SIZE_DEFAULT
        } else {
            size.min(PAGE_SIZE_MAX)
        };
        Self { size, start }
    }

    /// How many items at most, 1 to [`PAGE_SIZE_MAX`].
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The number of the page, if it starts at one.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self.start {
            Start::First => Some(1),
            Start::Page(number) => Some(number.max(1)),
            Start::After(_) => None,
        }
    }

    /// The position to start after, if any.
    #[must_use]
    pub fn after(&self) -> Option<&P> {
        match &self.start {
            Start::First | Start::Page(_) => None,
            Start::After(position) => Some(position),
        }
    }

    /// Whether the page was asked for by its number.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        matches!(self.start, Start::Page(_))
    }

    /// How many items to skip.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.number()
            .map_or(0, |number| u64::from(number - 1) * u64::from(self.size))
    }
}

impl<T, P> Page<T, P> {
    /// A page of `request` from what was found for it: one item more than fits tells that more follow.
    #[must_use]
    pub fn of(request: &PageRequest<P>, mut found: Vec<T>, total: Total, position: impl Fn(&T) -> P) -> Self {
        let size = request.size() as usize;
        let more = found.len() > size;
        found.truncate(size);
        Self::new(found, more, total, position)
    }

    /// A page of `items`, and whether more follow.
    #[must_use]
    pub fn new(items: Vec<T>, more: bool, total: Total, position: impl Fn(&T) -> P) -> Self {
        let next = if more { items.last().map(position) } else { None };
        Self { items, total, next }
    }

    /// Whether it ends before the number of items that `request` asks for, for their size: see [`PAGE_BYTES_MAX`]. What the
    /// next page by number begins with is then not what follows.
    #[must_use]
    pub fn is_cut(&self, request: &PageRequest<P>) -> bool {
        self.next.is_some() && self.items.len() < request.size() as usize
    }
}

impl<P> Page<Message, P> {
    /// A page of `request` from messages as they are found. It ends before it exceeds [`PAGE_BYTES_MAX`].
    ///
    /// # Errors
    /// The first one of `found`.
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
    /// A total that was counted to the end.
    #[must_use]
    pub fn exact(count: u64) -> Self {
        Self { count, capped: false }
    }

    /// A total whose counting was told to stop after [`TOTAL_COUNTED_MAX`] + 1.
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

/// Numbers and ids can be written in several ways, and a cursor in one: what was not made here, such as `c+5.01`, is
/// no cursor.
fn unchanged<P: Position>(position: P, cursor: &str) -> Result<P, CursorError> {
    if position.to_cursor() == cursor {
        Ok(position)
    } else {
        Err(CursorError)
    }
}

/// An instant both databases can compare: what [`Timestamp::parse`] would have let in.
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
    fn one_more_than_fits_tells_that_more_follow() {
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
    fn totals_stop_counting() {
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
    fn another_way_to_write_a_position_is_no_cursor() {
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
