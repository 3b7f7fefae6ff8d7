//! The other way round: not which items a text finds, but how well it matches given ones.
//!
//! Of everything that an item says, the score is the one of the search, without the beginnings of words; of one field it is
//! BM25 without regard to length (b = 0), for fields are short, with the rarity of a word in all texts.

use super::{asked_words, TextIndex, ITEM_WORDS_MAX, K1, NO_DOCUMENT};
use crate::items::Catalogue;
use crate::recall::words::each_word;

/// What of an item is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    /// Everything, weighted as in the search.
    All,
    Title,
    Brand,
    Category,
    Description,
}

impl TextField {
    pub fn parse(name: &str) -> Option<TextField> {
        Some(match name {
            "text" => TextField::All,
            "title" => TextField::Title,
            "brand" => TextField::Brand,
            "category" => TextField::Category,
            "description" => TextField::Description,
            _ => return None,
        })
    }
}

/// A query's words that any item has, with their numbers and weights.
pub struct Asked(Vec<(String, u32, f32)>);

impl TextIndex {
    pub fn asked(&self, query: &str) -> Asked {
        let known = |word: String| {
            let number = self.words.index(&word)?;
            let found_in = self.found_in(number);
            (found_in > 0).then(|| (word, number, self.weight(found_in)))
        };
        Asked(asked_words(query).0.into_iter().filter_map(known).collect())
    }

    /// 0 where no word is found, and for an item that is not available. `room` is room for one word.
    pub fn match_of(
        &self,
        catalogue: &Catalogue,
        asked: &Asked,
        item: u32,
        field: TextField,
        room: &mut String,
    ) -> f32 {
        let document = self.document_of.get(item as usize).copied().unwrap_or(NO_DOCUMENT);
        let (false, Some(data)) = (document == NO_DOCUMENT, catalogue.get(item)) else { return 0.0 };
        if field == TextField::All {
            return self.match_of_document(asked, document);
        }
        let mut counts = vec![0u32; asked.0.len()];
        let mut seen = 0;
        let mut read = |text: &str| {
            each_word(text, room, &mut |word| {
                seen += 1;
                if let Some(at) = asked.0.iter().position(|(w, ..)| w == word).filter(|_| seen <= ITEM_WORDS_MAX) {
                    counts[at] += 1;
                }
            });
        };
        match field {
            TextField::Title => read(&data.text(data.title)),
            TextField::Description => read(&data.text(data.description)),
            TextField::Brand => data.brand.into_iter().for_each(|b| read(catalogue.labels().id(b))),
            _ => data.categories.iter().for_each(|c| read(catalogue.category_name(*c))),
        }
        let worth = |(count, (.., weight)): (&u32, &(String, u32, f32))| weight * *count as f32 / (*count as f32 + K1);
        counts.iter().zip(&asked.0).map(worth).sum()
    }

    fn match_of_document(&self, asked: &Asked, document: u32) -> f32 {
        let (base, slope) = self.saturation();
        let mut score = 0.0;
        for (_, number, weight) in &asked.0 {
            let list = &self.postings[*number as usize];
            let at = list.partition_point(|p| p.document < document);
            if let Some(p) = list.get(at).filter(|p| p.document == document) {
                let count = f32::from(p.count);
                score += weight * count / (count + base + slope * f32::from(p.length));
            }
        }
        score
    }
}
