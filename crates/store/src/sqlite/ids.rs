use std::collections::VecDeque;

use rusqlite::{Connection, ToSql, types::Value};
use uuid::Uuid;

/// Ids that one query reads, at first and at most. A query grows while its ids are used one after the other.
const CHUNK_MIN: u32 = 8;
const CHUNK_MAX: u32 = 1_024;

/// Ids of messages in descending order, which indexes have in that order. A join of several reads a part of each.
pub(super) enum Ids {
    Index(Index),
    /// In descending order.
    Collected(VecDeque<u128>),
    /// Those of at least one.
    Any(Vec<Ids>),
    /// Those of all.
    All(Vec<Ids>),
}

impl Ids {
    /// The greatest id that is at most `most`. Later calls ask for the same or less.
    pub(super) fn up_to(&mut self, connection: &Connection, most: u128) -> rusqlite::Result<Option<u128>> {
        match self {
            Self::Index(index) => index.up_to(connection, most),
            Self::Collected(ids) => Ok(first_up_to(ids, most)),
            Self::Any(parts) => {
                let mut greatest = None;
                let mut place = 0;
                while let Some(part) = parts.get_mut(place) {
                    match part.up_to(connection, most)? {
                        Some(id) => {
                            greatest = greatest.max(Some(id));
                            place += 1;
                        }
                        None => drop(parts.swap_remove(place)),
                    }
                }
                Ok(greatest)
            }
            Self::All(parts) => {
                let mut id = most;
                loop {
                    let common = id;
                    for part in &mut *parts {
                        let Some(found) = part.up_to(connection, id)? else {
                            return Ok(None);
                        };
                        id = found;
                    }
                    if id == common {
                        return Ok(Some(id));
                    }
                }
            }
        }
    }

    /// Ids in any order.
    pub(super) fn collected(mut ids: Vec<u128>) -> Self {
        ids.sort_unstable_by(|one, other| other.cmp(one));
        Self::Collected(ids.into())
    }
}

/// The ids of one range of an index.
pub(super) struct Index {
    /// Its first parameter is the id to start with, its second one the greatest number of ids.
    sql: &'static str,
    parameters: Vec<Value>,
    read: VecDeque<u128>,
    /// Whether `read` holds the last ones.
    ended: bool,
    chunk: u32,
}

impl Index {
    pub(super) fn new(sql: &'static str, parameters: Vec<Value>) -> Self {
        Self {
            sql,
            parameters,
            read: VecDeque::new(),
            ended: false,
            chunk: CHUNK_MIN,
        }
    }

    fn up_to(&mut self, connection: &Connection, most: u128) -> rusqlite::Result<Option<u128>> {
        let used_up = self.read.back().is_some_and(|last| *last == most.wrapping_add(1));
        if let Some(id) = first_up_to(&mut self.read, most) {
            return Ok(Some(id));
        }
        if self.ended {
            return Ok(None);
        }
        self.chunk = if used_up {
            (self.chunk * 4).min(CHUNK_MAX)
        } else {
            CHUNK_MIN
        };
        let (start, limit) = (Uuid::from_u128(most), self.chunk);
        let own = self.parameters.iter().map(|value| value as &dyn ToSql);
        let parameters: Vec<&dyn ToSql> = [&start as &dyn ToSql, &limit].into_iter().chain(own).collect();
        let mut statement = connection.prepare_cached(self.sql)?;
        let mut rows = statement.query(&parameters[..])?;
        while let Some(row) = rows.next()? {
            self.read.push_back(row.get::<_, Uuid>(0)?.as_u128());
        }
        self.ended = self.read.len() < limit as usize;
        Ok(self.read.front().copied())
    }
}

/// Drops the ids above `most`, and returns the next one.
fn first_up_to(ids: &mut VecDeque<u128>, most: u128) -> Option<u128> {
    while let Some(id) = ids.front() {
        if *id <= most {
            return Some(*id);
        }
        ids.pop_front();
    }
    None
}
