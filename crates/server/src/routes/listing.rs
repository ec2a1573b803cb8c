//! What all listings share: paging parameters and the envelope of a page.

use std::{collections::BTreeMap, str::FromStr};

use axum::{extract::Query, response::Response};
use domain::{FieldError, Page, PageRequest, Participant, Position, Start, Timestamp};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    answers::AnswerRoom,
    openapi::{enums::Waited, schemas},
    problem::Problem,
};

/// The query parameters of a listing.
#[derive(Debug)]
pub(crate) struct ListingParameters(BTreeMap<String, String>);

/// The parameters of all listings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `ListingParameters::page` reads")]
pub(crate) struct Paging {
    /// Counted from 1. Ignored with `cursor`. Refused if the page's messages exceed 4 MiB: use a smaller `pageSize`, or
    /// `cursor`.
    #[param(value_type = Option<schemas::PageNumber>)]
    page: Option<u32>,
    /// 0 means 50, more than 200 means 200.
    #[param(rename = "pageSize", value_type = Option<schemas::Count>)]
    page_size: Option<u64>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `answer` writes")]
pub(crate) struct Envelope<T> {
    items: Vec<T>,
    meta: Meta,
}

/// The place of a page in its listing.
#[derive(Debug, Serialize, ToSchema)]
struct Meta {
    /// Null if the page was requested by cursor, or ends early because its messages are large.
    #[schema(required, minimum = 1, example = 1)]
    page: Option<u32>,
    /// The most items of a page. A page of large messages ends before it exceeds 4 MiB.
    #[schema(minimum = 1, maximum = 200, example = 50)]
    page_size: u32,
    /// Items of the whole listing.
    #[schema(value_type = schemas::Count, example = 1)]
    total: u64,
    /// Whether counting stopped at `total`.
    total_capped: bool,
    /// Send it as `cursor` to get the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Of a read with `wait_ms`: whether there were enough items in time.
    #[schema(value_type = Waited, required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<Waited>,
}

impl ListingParameters {
    pub(super) fn of(query: Query<BTreeMap<String, String>>) -> Self {
        Self(query.0)
    }

    pub(super) fn page<P: Position>(&self) -> Result<PageRequest<P>, Problem> {
        let size = self.number("pageSize")?.unwrap_or(0);
        if let Some(cursor) = self.given("cursor") {
            let after = P::from_cursor(cursor).map_err(|error| invalid("cursor", error))?;
            return Ok(PageRequest::new(size, Start::After(after)));
        }
        match self.number("page")? {
            None => Ok(PageRequest::new(size, Start::First)),
            Some(0) => Err(invalid("page", "pages count from 1")),
            Some(page) => Ok(PageRequest::new(size, Start::Page(page))),
        }
    }

    /// A filter by a word or an id.
    pub(super) fn filter<T: FromStr<Err: ToString>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.given(name)
            .map(|text| text.parse().map_err(|error: T::Err| invalid(name, error)))
            .transpose()
    }

    /// A filter by a participant. An unescaped `+` arrives as a space, and no number begins with a space.
    pub(super) fn participant(&self, app: &App, name: &str) -> Result<Option<Participant>, Problem> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        let unescaped = text
            .strip_prefix(' ')
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        let text = unescaped.map_or(text.to_owned(), |rest| format!("+{rest}"));
        let found = Participant::find(&text, app.settings().drafts.default_region);
        let refused = || invalid(name, "use a phone number, an email address or a sender name");
        found.map(Some).ok_or_else(refused)
    }

    /// An unescaped `+` of an offset arrives as a space.
    pub(super) fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let parse = |text: &str| Timestamp::parse(text).or_else(|| Timestamp::parse(&text.replace(' ', "+")));
        let refused = || invalid(name, "use a time such as 2026-11-21T10:00:00Z");
        let instant = self.given(name).map(|text| parse(text).ok_or_else(refused));
        instant.transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.given(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "use true or false")),
        }
    }

    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number; one that is too large becomes the largest.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, Problem> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(name, "use a whole number"));
        }
        Ok(Some(text.parse().unwrap_or(u32::MAX)))
    }
}

/// Writes a page as an [`Envelope`].
pub(super) async fn answer<P: Position, U, T: Serialize>(
    app: &App,
    room: AnswerRoom,
    request: &PageRequest<P>,
    page: Page<U, P>,
    show: impl Fn(U) -> T,
) -> Result<Response, Problem> {
    answer_waited(app, room, request, page, None, show).await
}

/// The same, for a listing that may have waited.
pub(super) async fn answer_waited<P: Position, U, T: Serialize>(
    app: &App,
    room: AnswerRoom,
    request: &PageRequest<P>,
    page: Page<U, P>,
    wait: Option<Waited>,
    show: impl Fn(U) -> T,
) -> Result<Response, Problem> {
    let cut = page.is_cut(request);
    if cut && request.is_numbered() {
        // The next page number would skip the messages that are missing here.
        let detail = "these messages are too large for a page of this size: use a smaller pageSize, or follow \
                      next_cursor from a page without a number";
        return Err(invalid("page", detail));
    }
    let meta = Meta {
        page: request.number().filter(|_| !cut),
        page_size: request.size(),
        total: page.total.count,
        total_capped: page.total.capped,
        next_cursor: page.next.map(|position| position.to_cursor()),
        wait,
    };
    let items = page.items.into_iter().map(show);
    app.answers().page(room, items, &meta).await
}

pub(super) fn invalid(parameter: &str, detail: impl ToString) -> Problem {
    Problem::invalid(vec![FieldError::new(parameter, detail)])
}
