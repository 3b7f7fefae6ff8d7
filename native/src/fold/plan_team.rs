//! The operations that only a team's own features have, from the plan's JSON.

use super::{Op, Spec};
use crate::error::Result;
use crate::fold::aggregate::parse_key;
use crate::fold::arms::ARM_DIMENSIONS;
use crate::fold::counter::Window;
use crate::fold::fields::{Alike, Word};
use crate::fold::matching::TextMatch;
use crate::fold::reading::{hashes_of, Read, Reading};
use crate::hash::id_hash;
use crate::recall::text::TextField;

impl Spec {
    /// The operations that only a team's own features have.
    pub(super) fn team_op(&self) -> Result<Op> {
        use Op::*;
        Ok(match self.op.as_str() {
            "item_word" => ItemWord(self.word()?),
            "user_word" => UserWord(self.word()?),
            "context_word" => ContextWord(self.word()?),
            "context_local" => ContextLocal {
                weekday: self.text(&self.key, "key")? == "weekday",
                offset_min: self.utc_offset_min.ok_or_else(|| self.lacks("utc_offset_min"))?,
            },
            "cross_interacted" => CrossInteracted(Alike {
                place: 0,
                key: self.text(&self.key, "key")?.into(),
                slot: self.event.as_ref().map(|_| self.slot(&self.event)).transpose()?,
                window: self.window()?,
            }),
            "item_size" => ItemSize { key: self.text(&self.key, "key")? },
            "user_size" => UserSize { key: self.text(&self.key, "key")? },
            "context_size" => ContextSize { key: self.text(&self.key, "key")? },
            "cross_match" => CrossMatch(self.text_match()?),
            "user_published" | "item_published" => Published(id_hash(&self.name)),
            "user_aggregate" | "session_aggregate" | "item_aggregate" | "category_aggregate" | "seller_aggregate"
            | "context_aggregate" => Aggregate(Box::new(self.reading()?)),
            "item_pair_aggregate" => PairAggregate(Box::new(self.reading()?)),
            "arm_aggregate" => ArmAggregate(Box::new(self.reading()?)),
            other => return Err(self.refuse(format!("unknown operation {other:?}"))),
        })
    }

    /// Place of a dimension, an arm's or the context's.
    fn place_of(&self, dimension: &str) -> Result<usize> {
        if self.op != "arm_aggregate" {
            return self.dimension_of(dimension).map(usize::from);
        }
        let at = ARM_DIMENSIONS.iter().position(|d| *d == dimension);
        at.ok_or_else(|| self.refuse(format!("{dimension:?} is not one of {ARM_DIMENSIONS:?}")))
    }

    fn word(&self) -> Result<Word> {
        let words = self.words.clone().ok_or_else(|| self.lacks("words"))?;
        Ok(Word { key: self.text(&self.key, "key")?, words })
    }

    fn text_match(&self) -> Result<TextMatch> {
        let name = self.text(&self.value, "value")?;
        let field = TextField::parse(&name).ok_or_else(|| self.refuse(format!("{name:?} is no text of an item")))?;
        Ok(TextMatch { field, with: self.text(&self.key, "key")? })
    }

    fn reading(&self) -> Result<Reading> {
        let key = |text: &Option<String>, argument: &str| {
            let text = self.text(text, argument)?;
            parse_key(&text).ok_or_else(|| self.refuse(format!("{argument} is not 16 hexadecimal digits")))
        };
        let read = self.read.ok_or_else(|| self.lacks("read"))?;
        let mut reading = Reading {
            read,
            key: key(&self.key, "key")?,
            trials: 0,
            refunds: 0,
            window: Window::Lifetime,
            half_life_ms: 0,
            prior_rate: 0.0,
            prior_strength: 1.0,
            ttl_ms: self.ttl_ms.unwrap_or_default(),
            words: self.words.as_deref().map(hashes_of),
            dimension: self.dimension.as_deref().map_or(Ok(0), |d| self.place_of(d))?,
        };
        if !matches!(read, Read::Decayed | Read::Last | Read::MinutesSince) {
            reading.window = self.window()?;
        }
        if self.refunds_key.is_some() {
            reading.refunds = key(&self.refunds_key, "refunds_key")?;
        }
        if read == Read::Decayed {
            reading.half_life_ms = self.half_life()?;
        }
        if read == Read::Rate {
            reading.trials = key(&self.trials_key, "trials_key")?;
            (reading.prior_rate, reading.prior_strength) = self.prior()?;
        }
        Ok(reading)
    }
}
