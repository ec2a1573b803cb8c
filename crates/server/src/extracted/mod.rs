//! The links and one-time codes in the text of a message, so that a test or a script need not parse it.

mod codes;
mod html;
mod links;
#[cfg(test)]
mod tests;
mod words;

use serde::Serialize;
use utoipa::ToSchema;

/// The most links and the most codes of one message.
const LINKS_MAX: usize = 50;
const CODES_MAX: usize = 20;

/// Links and one-time codes, in the order of the text, each once; 50 links and 20 codes at most.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Extracted {
    /// The `http` and `https` URLs of the text, and of what can be clicked in HTML.
    #[schema(max_items = 50, example = json!(["https://example.com/confirm?token=8Zk2"]))]
    links: Vec<String>,
    /// Groups of 4 to 8 digits, without the space or hyphen within them, and letters with digits where the text calls them a
    /// code. Years, prices and phone numbers are left out.
    #[schema(max_items = 20, example = json!(["481516"]))]
    codes: Vec<String>,
}

impl Extracted {
    pub(crate) fn of(subject: Option<&str>, body: &str) -> Self {
        let mut extracted = Self::default();
        if let Some(subject) = subject {
            extracted.read(subject, Vec::new());
        }
        match html::flatten(body) {
            Some(page) => extracted.read(&page.text, page.links),
            None => extracted.read(body, Vec::new()),
        }
        extracted
    }

    /// `clickable` are links and their places in the text.
    fn read(&mut self, text: &str, clickable: Vec<(usize, String)>) {
        let written = links::find(text).map(|(place, link)| (place, link.to_owned()));
        let mut links: Vec<_> = clickable.into_iter().chain(written).collect();
        links.sort_by_key(|(place, _)| *place);
        for (_, link) in links {
            add(&mut self.links, link, LINKS_MAX);
        }
        for code in codes::find(text) {
            add(&mut self.codes, code, CODES_MAX);
        }
    }
}

fn add(found: &mut Vec<String>, text: String, max: usize) {
    if found.len() < max && !found.contains(&text) {
        found.push(text);
    }
}
