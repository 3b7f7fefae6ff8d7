//! Walks a body, whatever its syntax: an event, an array, an envelope or lines.
//!
//! Invariant: the index of an event is its place among the events of the body, accepted or not; blank lines do not count.
//! The rules of an event are in `validate`; this file only gathers its raw fields.

use super::batch::{Batch, Rejected};
use super::json::Json;
use super::msgpack::Msgpack;
use super::schema::{code, Field, FIELD_COUNT};
use super::syntax::{Broken, Read, Shape, Syntax, Value};
use super::validate::{validate, whole, Refusal, Whole};
use super::{Media, Options};
use crate::error::{Error, Result};
use std::borrow::Cow;

/// Reads and checks a body. `Err` refuses the whole request: `malformed_body`, `body_too_large`, or `unknown_field` for
/// a member of the envelope other than `events` and `sent_at`.
pub fn parse(body: &[u8], opt: &Options<'_>) -> Result<Batch> {
    let mut intake = Intake {
        opt,
        shift_ms: 0,
        batch: Batch::with_capacity(body.len(), opt.received_ms),
        draft: Draft::default(),
        props: Vec::with_capacity(256),
    };
    match opt.media {
        Media::Json => intake.document(&mut Json::new(utf8(body)?)).map_err(|stop| stop.named("not JSON", None))?,
        Media::Msgpack => {
            intake.document(&mut Msgpack::new(body)).map_err(|stop| stop.named("not msgpack", None))?;
        }
        Media::Ndjson => intake.lines(utf8(body)?)?,
    }
    Ok(intake.batch)
}

fn utf8(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|e| Error::malformed(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

/// The raw fields of one event, before any rule was applied. Reused from event to event.
#[derive(Default)]
pub struct Draft<'a> {
    values: [Value<'a>; FIELD_COUNT],
    /// Members of `props` when it is an object; the last value of a key wins.
    pub props: Vec<(Cow<'a, str>, Value<'a>)>,
    pub too_many_props: bool,
    pub prop_key_not_text: bool,
    /// The first key that is no field.
    pub unknown: Option<String>,
}

impl<'a> Draft<'a> {
    #[inline]
    pub fn value(&self, field: Field) -> &Value<'a> {
        &self.values[field as usize]
    }

    fn clear(&mut self) {
        self.values.fill(Value::Null);
        self.unknown = None;
        self.clear_props();
    }

    fn clear_props(&mut self) {
        self.props.clear();
        self.too_many_props = false;
        self.prop_key_not_text = false;
    }

    fn read<S: Syntax<'a>>(&mut self, s: &mut S, props_max: usize) -> Read<()> {
        self.clear();
        let mut open = s.open()?;
        while let Some(key) = s.key(&mut open)? {
            let field = match &key {
                Value::Text(name) => Field::of(name),
                _ => None,
            };
            match field {
                Some(Field::Props) => self.read_props(s, props_max)?,
                Some(field) => self.values[field as usize] = s.value()?,
                None => {
                    self.unknown.get_or_insert_with(|| name_of(&key));
                    s.skip()?;
                }
            }
        }
        Ok(())
    }

    fn read_props<S: Syntax<'a>>(&mut self, s: &mut S, props_max: usize) -> Read<()> {
        self.clear_props();
        self.values[Field::Props as usize] = Value::Null;
        if s.shape()? != Shape::Object {
            self.values[Field::Props as usize] = s.value()?;
            return Ok(());
        }
        let mut open = s.open()?;
        while let Some(key) = s.key(&mut open)? {
            let value = s.value()?;
            let Value::Text(key) = key else {
                self.prop_key_not_text = true;
                continue;
            };
            let full = self.props.len() == props_max;
            match self.props.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                // The bound also keeps the search above short for a hostile body.
                None if full => self.too_many_props = true,
                None => self.props.push((key, value)),
            }
        }
        Ok(())
    }
}

fn name_of(key: &Value<'_>) -> String {
    match key {
        Value::Text(name) => name.to_string(),
        _ => "a key that is not text".into(),
    }
}

/// Why a body is given up.
enum Stop {
    Broken(Broken),
    Refused(Error),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Stop::Broken(broken)
    }
}

impl Stop {
    fn named(self, not: &str, line: Option<usize>) -> Error {
        match (self, line) {
            (Stop::Refused(error), _) => error,
            (Stop::Broken(b), None) => Error::malformed(format!("{not} at byte {}: {}", b.at, b.what)),
            (Stop::Broken(b), Some(n)) => Error::malformed(format!("line {n} is {not} at byte {}: {}", b.at, b.what)),
        }
    }
}

/// Members of `{"events": [...], "sent_at": ms}`.
struct Envelope {
    events_at: usize,
    is_array: bool,
    sent_at_ms: Option<Whole>,
    unknown: Option<String>,
}

struct Intake<'o, 'a> {
    opt: &'o Options<'o>,
    /// What `sent_at` adds to every event time.
    shift_ms: i64,
    batch: Batch,
    draft: Draft<'a>,
    props: Vec<u8>,
}

impl<'a> Intake<'_, 'a> {
    fn document<S: Syntax<'a>>(&mut self, s: &mut S) -> std::result::Result<(), Stop> {
        let start = s.at();
        match s.shape()? {
            Shape::Array => self.array(s)?,
            Shape::Object => match envelope(s)? {
                None => {
                    s.seek(start);
                    self.one(s)?;
                }
                Some(envelope) => {
                    let end = s.at();
                    self.shift_ms = self.shift(&envelope)?;
                    s.seek(envelope.events_at);
                    self.array(s)?;
                    s.seek(end);
                }
            },
            Shape::Scalar => {
                s.value()?;
                return Err(refused("the body must be an event, an array of events or {\"events\": [...]}"));
            }
        }
        Ok(s.end()?)
    }

    fn lines(&mut self, text: &'a str) -> Result<()> {
        let mut blank = true;
        for (n, line) in text.split('\n').enumerate() {
            if line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r')) {
                continue;
            }
            blank = false;
            let mut json = Json::new(line);
            let read = self.one(&mut json).and_then(|()| Ok(json.end()?));
            read.map_err(|stop| stop.named("not JSON", Some(n + 1)))?;
        }
        if blank {
            return Err(Error::malformed("the body is empty"));
        }
        Ok(())
    }

    fn array<S: Syntax<'a>>(&mut self, s: &mut S) -> std::result::Result<(), Stop> {
        let mut open = s.open()?;
        while s.element(&mut open)? {
            self.one(s)?;
        }
        Ok(())
    }

    fn one<S: Syntax<'a>>(&mut self, s: &mut S) -> std::result::Result<(), Stop> {
        let index = self.batch.events();
        let events_max = self.opt.limits.events_max;
        if index == events_max {
            let message = format!("a body carries at most {events_max} events");
            return Err(Stop::Refused(Error::Malformed { code: code::BODY_TOO_LARGE, message }));
        }
        let from = s.at();
        let checked = if s.shape()? == Shape::Object {
            self.draft.read(s, self.opt.limits.props_max)?;
            validate(&self.draft, self.opt, self.shift_ms, &mut self.props)
        } else {
            self.draft.clear();
            s.skip()?;
            Err(Refusal { code: code::WRONG_TYPE, message: "an event must be an object".into() })
        };
        match checked {
            Ok(event) => self.batch.push(index, &event),
            Err(Refusal { code, message }) => {
                let to = s.at();
                let payload = s.json(from, to);
                let event_id = self.event_id();
                self.batch.rejected.push(Rejected { index, event_id, code, message, payload });
            }
        }
        Ok(())
    }

    /// The id that a refusal can be answered with: only one that could have been accepted.
    fn event_id(&self) -> Option<String> {
        match self.draft.value(Field::EventId) {
            Value::Text(id) if (1..=self.opt.limits.id_chars_max).contains(&id.chars().count()) => Some(id.to_string()),
            _ => None,
        }
    }

    /// Segment's correction of a wrong client clock: event time + (received − sent).
    fn shift(&self, envelope: &Envelope) -> std::result::Result<i64, Stop> {
        if let Some(name) = &envelope.unknown {
            let message = "is not a member of the envelope; it has events and sent_at";
            return Err(Stop::Refused(Error::invalid(code::UNKNOWN_FIELD, name.as_str(), message)));
        }
        if !envelope.is_array {
            return Err(refused("events must be an array"));
        }
        match envelope.sent_at_ms {
            None => Ok(0),
            Some(Whole::Fits(sent)) if sent > 0 => Ok(self.opt.received_ms.saturating_sub(sent)),
            Some(_) => Err(refused("sent_at must be a positive integer, ms since 1970")),
        }
    }
}

fn refused(message: &str) -> Stop {
    Stop::Refused(Error::malformed(message))
}

/// Reads an object to its end; `None` when it has no `events`, so it must be an event itself.
fn envelope<'a, S: Syntax<'a>>(s: &mut S) -> std::result::Result<Option<Envelope>, Stop> {
    let (mut events, mut sent_at, mut unknown) = (None, Value::Null, None);
    let mut open = s.open()?;
    while let Some(key) = s.key(&mut open)? {
        match &key {
            Value::Text(name) if name == "events" => {
                events = Some((s.at(), s.shape()? == Shape::Array));
                s.skip()?;
            }
            Value::Text(name) if name == "sent_at" => sent_at = s.value()?,
            _ => {
                unknown.get_or_insert_with(|| name_of(&key));
                s.skip()?;
            }
        }
    }
    let Some((events_at, is_array)) = events else {
        return Ok(None);
    };
    let sent_at_ms = match sent_at {
        Value::Null => None,
        other => Some(whole(&other).unwrap_or(Whole::Huge)),
    };
    Ok(Some(Envelope { events_at, is_array, sent_at_ms, unknown }))
}
