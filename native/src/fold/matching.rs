//! How well a text of the request matches items: BM25 by the words that the text index of the search counts.
//!
//! Invariant: a function of the catalogue, the request and the user's record: how rare a word is, the index knows exactly,
//! whatever came and went before. It does not know how the index keeps its words.

use crate::fold::state::State;
use crate::fold::vector::Asker;
use crate::recall::text::TextField;

/// What is matched with what.
#[derive(Debug, Clone, PartialEq)]
pub struct TextMatch {
    pub field: TextField,
    /// A key of the request's context; `last_query` is the request's query, else the user's latest.
    pub with: String,
}

impl<'a> Asker<'a> {
    fn text_of(&self, with: &str) -> Option<&'a str> {
        let found = match with {
            "last_query" => self.context("query").or_else(|| self.user.and_then(|user| user.context.query.as_deref())),
            key => self.context(key),
        };
        found.filter(|text| !text.is_empty())
    }

    /// A score for each item, 0 where no word is found; None without a text to match with. The index is up to date.
    pub fn matches(&self, state: &State, how: &TextMatch, items: &[u32]) -> Option<Vec<f32>> {
        let (text, index) = (self.text_of(&how.with)?, self.text?);
        let asked = index.asked(text);
        let mut room = String::new();
        Some(items.iter().map(|item| index.match_of(&state.catalogue, &asked, *item, how.field, &mut room)).collect())
    }
}
