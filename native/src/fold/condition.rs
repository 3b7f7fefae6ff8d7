//! Which events a team's aggregate counts, and which value of an event it takes: the compiled form of `where` and `of`.
//!
//! The text is parsed and checked in `rtp_monolith/features/condition.py`; this file reads its tree. Rules: a missing
//! value fails every test, so `!=`, which is `not (==)`, passes; on lists a test asks whether any element passes; text
//! compares exactly, `contains` and `starts_with` without regard to the case of a–z. Invariant: total and bounded, whatever
//! an event holds.

use std::borrow::Cow;

use serde::Deserialize;

use crate::fold::about::Relation;
use crate::fold::lines::Line;
use crate::items::{Catalogue, Item, Value};
use crate::record::{Event, EventType, EVENT_TYPES};

/// Bits of all event types.
pub const ALL_TYPES: u16 = (1 << 15) - 1;
const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Number,
    Text,
    Flag,
    Texts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Test {
    In,
    Lt,
    Lte,
    Gt,
    Gte,
    Contains,
    StartsWith,
    Exists,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A value of an event by its name, as `Field::parse` knows them.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    EventType,
    ItemId,
    Position,
    Hour,
    Weekday,
    Prop(String),
    Quantity,
    LinePrice,
    LineValue,
    ItemPrice,
    /// Since the item came, or since its `created_at`.
    AgeHours,
    ItemAvailable,
    Brand,
    Seller,
    Currency,
    Title,
    Category,
    Categories,
    Attribute(String),
    About(Relation),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawField")]
pub struct Field {
    source: Source,
    pub kind: Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: String,
    kind: Kind,
}

impl TryFrom<RawField> for Field {
    type Error = String;

    fn try_from(raw: RawField) -> Result<Field, String> {
        let source = match raw.name.as_str() {
            "event_type" => Source::EventType,
            "item_id" => Source::ItemId,
            "position" => Source::Position,
            "hour" => Source::Hour,
            "weekday" => Source::Weekday,
            "line.quantity" => Source::Quantity,
            "line.price" => Source::LinePrice,
            "line.value" => Source::LineValue,
            "item.price" => Source::ItemPrice,
            "item.age_hours" => Source::AgeHours,
            "item.available" => Source::ItemAvailable,
            "item.brand" => Source::Brand,
            "item.seller" => Source::Seller,
            "item.currency" => Source::Currency,
            "item.title" => Source::Title,
            "item.category" => Source::Category,
            "item.categories" => Source::Categories,
            other if other.starts_with("about.") => Source::About(Relation::named(&other[6..])?),
            other => match (other.strip_prefix("props."), other.strip_prefix("item.attributes.")) {
                (Some(key), _) => Source::Prop(key.to_owned()),
                (_, Some(key)) => Source::Attribute(key.to_owned()),
                _ => return Err(format!("unknown field {other:?}")),
            },
        };
        Ok(Field { source, kind: raw.kind })
    }
}

/// What is looked at: an event, one of its lines and the item of that line as the catalogue has it then.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub event: &'a Event<'a>,
    pub line: Option<&'a Line>,
    pub catalogue: &'a Catalogue,
    /// Items that the request is about; an event is about none.
    pub about: &'a [u32],
}

impl<'a> Seen<'a> {
    pub(super) fn item(&self) -> Option<&'a Item> {
        self.catalogue.get(self.line?.index?)
    }
}

/// A list of categories deeper than this is not looked at to its end.
const CATEGORY_LEVELS_MAX: usize = 64;

impl Field {
    /// Whether the value is of the line and not of the event as a whole.
    pub fn is_of_line(&self) -> bool {
        !matches!(self.source, Source::EventType | Source::Position | Source::Hour | Source::Weekday | Source::Prop(_))
    }

    pub fn number(&self, seen: &Seen<'_>) -> Option<f64> {
        let hours = || seen.event.ts_ms.div_euclid(HOUR_MS);
        let price = || seen.line?.price.or_else(|| seen.item()?.price);
        let found = match &self.source {
            Source::Position => seen.event.position.map(f64::from),
            Source::Hour => Some(hours().rem_euclid(24) as f64),
            // 1970-01-01 was a Thursday; Monday is 0.
            Source::Weekday => Some((hours().div_euclid(24) + 3).rem_euclid(7) as f64),
            Source::Prop(key) => seen.event.props.number(key),
            Source::Quantity => seen.line.map(|l| f64::from(l.quantity)),
            Source::LinePrice => price(),
            Source::LineValue => price().map(|p| p * seen.line.map_or(1.0, |l| f64::from(l.quantity))),
            Source::ItemPrice => seen.item()?.price,
            Source::AgeHours => seen.item().map(|item| (seen.event.ts_ms - item.added_ms()) as f64 / HOUR_MS as f64),
            Source::Attribute(name) => match attribute(seen, name)? {
                Value::Number(n) => Some(*n),
                _ => None,
            },
            Source::About(relation) => relation.number(seen),
            _ => None,
        };
        found.filter(|n| n.is_finite())
    }

    fn flag(&self, seen: &Seen<'_>) -> Option<bool> {
        match &self.source {
            Source::ItemAvailable => seen.item().map(|i| i.available),
            Source::Prop(key) => match seen.event.props.get(key)?.trim() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            Source::Attribute(name) => match attribute(seen, name)? {
                Value::Bool(b) => Some(*b),
                _ => None,
            },
            Source::About(relation) => relation.flag(seen),
            _ => None,
        }
    }

    /// Calls `each` with every text of the value until it answers true; whether it did.
    pub fn any_text(&self, seen: &Seen<'_>, each: &mut dyn FnMut(&str) -> bool) -> bool {
        let label = |label: Option<u32>| label.map(|l| seen.catalogue.labels().id(l));
        let found = match &self.source {
            Source::EventType => Some(Cow::Borrowed(type_name(seen.event))),
            Source::ItemId => {
                let of_line = seen.line.and_then(|l| l.index).map(|at| seen.catalogue.ids().id(at));
                of_line.or(seen.event.item_id).map(Cow::Borrowed)
            }
            Source::Prop(key) => seen.event.props.get(key).map(Cow::Borrowed),
            Source::Brand => label(seen.item().and_then(|i| i.brand)).map(Cow::Borrowed),
            Source::Seller => label(seen.item().and_then(|i| i.seller)).map(Cow::Borrowed),
            Source::Currency => label(seen.item().and_then(|i| i.currency)).map(Cow::Borrowed),
            Source::Title => seen.item().and_then(|i| i.text_of(i.title)),
            Source::Category => {
                let path = seen.item().and_then(|i| i.categories.first().copied());
                path.map(|c| Cow::Borrowed(seen.catalogue.category_name(c)))
            }
            Source::Categories => {
                let Some(item) = seen.item() else { return false };
                let levels = item.categories.iter().flat_map(|c| seen.catalogue.categories().ancestors(*c));
                return levels.take(CATEGORY_LEVELS_MAX).any(|c| each(seen.catalogue.category_name(c)));
            }
            Source::Attribute(name) => {
                let (Some(item), Some(value)) = (seen.item(), attribute(seen, name)) else { return false };
                match value {
                    Value::Text(span) => Some(item.text(*span)),
                    Value::Texts(list) => return list.iter().any(|span| each(&item.text(*span))),
                    _ => None,
                }
            }
            _ => None,
        };
        // As in the contract: an empty string is a missing field.
        found.filter(|text| !text.is_empty()).is_some_and(|text| each(&text))
    }
}

fn attribute<'a>(seen: &Seen<'a>, name: &str) -> Option<&'a Value> {
    let name = seen.catalogue.labels().index(name)?;
    seen.item()?.attributes.iter().find(|a| a.name == name).map(|a| &a.value)
}

fn type_name<'a>(event: &Event<'a>) -> &'a str {
    EVENT_TYPES.get(event.event_type as usize).map_or_else(|| event.custom.unwrap_or("custom"), |(_, name)| name)
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test { field: Field, op: Op },
}

/// A test with what it compares to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    test: Test,
    #[serde(default)]
    values: Vec<Scalar>,
}

impl Condition {
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        match self {
            Condition::All(parts) => parts.iter().all(|c| c.holds(seen)),
            Condition::Any(parts) => parts.iter().any(|c| c.holds(seen)),
            Condition::Not(inner) => !inner.holds(seen),
            Condition::Test { field, op } => op.passes(field, seen),
        }
    }

    /// Whether it speaks of the lines of an event: of items, prices and quantities.
    pub fn is_of_line(&self) -> bool {
        match self {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().any(Condition::is_of_line),
            Condition::Not(inner) => inner.is_of_line(),
            Condition::Test { field, .. } => field.is_of_line(),
        }
    }

    /// Bits of the event types that may pass, and of those that pass whatever else the event holds.
    fn types(&self) -> (u16, u16) {
        match self {
            Condition::All(parts) => {
                parts.iter().map(Condition::types).fold((ALL_TYPES, ALL_TYPES), |a, b| (a.0 & b.0, a.1 & b.1))
            }
            Condition::Any(parts) => parts.iter().map(Condition::types).fold((0, 0), |a, b| (a.0 | b.0, a.1 | b.1)),
            Condition::Not(inner) => {
                let (may, must) = inner.types();
                (ALL_TYPES & !must, ALL_TYPES & !may)
            }
            Condition::Test { field: Field { source: Source::EventType, .. }, op: Op { test: Test::In, values } } => {
                let mut types = (0, 0);
                for value in values {
                    match value {
                        Scalar::Text(name) => match EventType::of(name) {
                            Some(t) => types = (types.0 | 1 << t as u16, types.1 | 1 << t as u16),
                            // One of the custom types: others have the same bit.
                            None => types.0 |= 1 << EventType::Custom as u16,
                        },
                        _ => return (ALL_TYPES, 0),
                    }
                }
                types
            }
            Condition::Test { .. } => (ALL_TYPES, 0),
        }
    }

    pub fn may_pass(&self) -> u16 {
        self.types().0
    }
}

impl Op {
    fn passes(&self, field: &Field, seen: &Seen<'_>) -> bool {
        match field.kind {
            Kind::Number => field.number(seen).is_some_and(|x| self.number_passes(x)),
            Kind::Flag => field.flag(seen).is_some_and(|x| match self.test {
                Test::Exists => true,
                Test::In => self.values.contains(&Scalar::Flag(x)),
                _ => false,
            }),
            Kind::Text | Kind::Texts => field.any_text(seen, &mut |text| self.text_passes(text)),
        }
    }

    fn number_passes(&self, x: f64) -> bool {
        let than = || match self.values.first() {
            Some(Scalar::Number(n)) => *n,
            _ => f64::NAN,
        };
        match self.test {
            Test::Exists => true,
            Test::In => self.values.iter().any(|v| matches!(v, Scalar::Number(n) if *n == x)),
            Test::Lt => x < than(),
            Test::Lte => x <= than(),
            Test::Gt => x > than(),
            Test::Gte => x >= than(),
            Test::Contains | Test::StartsWith => false,
        }
    }

    fn text_passes(&self, text: &str) -> bool {
        let any = |passes: &dyn Fn(&str) -> bool| {
            self.values.iter().any(|v| matches!(v, Scalar::Text(wanted) if passes(wanted)))
        };
        match self.test {
            Test::Exists => true,
            Test::In => any(&|wanted| wanted == text),
            Test::Contains => any(&|wanted| contains(text.as_bytes(), wanted.as_bytes())),
            Test::StartsWith => any(&|wanted| starts_with(text.as_bytes(), wanted.as_bytes())),
            Test::Lt | Test::Lte | Test::Gt | Test::Gte => false,
        }
    }
}

fn starts_with(text: &[u8], wanted: &[u8]) -> bool {
    text.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted))
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_str;
    use crate::record::Props;

    fn condition(json: &str) -> Condition {
        serde_json::from_str(json).unwrap()
    }

    fn test(name: &str, kind: &str, test: &str, values: &str) -> String {
        format!(
            r#"{{"test":{{"field":{{"name":"{name}","kind":"{kind}"}},"op":{{"test":"{test}","values":{values}}}}}}}"#
        )
    }

    fn holds(json: &str, event_type: EventType, props: &[(&str, &str)]) -> bool {
        let mut bytes = Vec::new();
        props.iter().flat_map(|(k, v)| [k, v]).for_each(|text| put_str(&mut bytes, text));
        let event = Event {
            event_id: "e",
            user_id: None,
            session_id: "s",
            event_type,
            custom: None,
            item_id: None,
            ts_ms: 1,
            received_ms: 1,
            request_id: None,
            position: Some(3),
            linked_user: None,
            trusted: false,
            props: Props { count: props.len() as u32, bytes: &bytes },
        };
        condition(json).holds(&Seen { event: &event, line: None, catalogue: &Catalogue::default(), about: &[] })
    }

    #[test]
    fn tests_compare_values_of_their_kind() {
        let rated = [("stars", " 4.5 "), ("page", "/Boots/Winter"), ("gift", "true"), ("nan", "NaN"), ("none", "")];
        let check = |name: &str, kind: &str, op: &str, values: &str| {
            holds(&test(name, kind, op, values), EventType::Like, &rated)
        };
        assert!(check("props.stars", "number", "gte", "[4.5]") && !check("props.stars", "number", "gt", "[4.5]"));
        assert!(check("props.stars", "number", "in", "[1, 4.5]") && !check("props.page", "number", "gte", "[0]"));
        assert!(!check("props.nan", "number", "exists", "[]") && !check("props.none", "text", "exists", "[]"));
        assert!(check("props.page", "text", "contains", r#"["boots/"]"#));
        assert!(check("props.page", "text", "starts_with", r#"["/BOOTS"]"#));
        assert!(!check("props.page", "text", "in", r#"["/boots/winter"]"#), "equality minds the case");
        assert!(check("props.gift", "flag", "in", "[true]") && !check("props.gift", "flag", "in", "[false]"));
        assert!(check("position", "number", "lte", "[3]") && check("weekday", "number", "in", "[3]"));
        assert!(!check("item.price", "number", "exists", "[]"));
    }

    #[test]
    fn a_missing_value_fails_a_test_and_passes_its_opposite() {
        let equal = test("props.colour", "text", "in", r#"["red"]"#);
        assert!(!holds(&equal, EventType::Click, &[]));
        assert!(holds(&format!(r#"{{"not":{equal}}}"#), EventType::Click, &[]));
    }

    #[test]
    fn the_types_that_may_pass_are_known_beforehand() {
        let bit = |t: EventType| 1u16 << t as u16;
        let like = test("event_type", "text", "in", r#"["like"]"#);
        let rated = test("event_type", "text", "in", r#"["rated"]"#);
        let dear = test("props.price", "number", "gt", "[9]");
        let types = |json: &str| condition(json).may_pass();
        assert_eq!(types(&like), bit(EventType::Like));
        assert_eq!(types(&rated), bit(EventType::Custom));
        assert_eq!(types(&dear), ALL_TYPES);
        assert_eq!(types(&format!(r#"{{"all":[{like},{dear}]}}"#)), bit(EventType::Like));
        assert_eq!(types(&format!(r#"{{"any":[{like},{rated}]}}"#)), bit(EventType::Like) | bit(EventType::Custom));
        assert_eq!(types(&format!(r#"{{"not":{like}}}"#)), ALL_TYPES & !bit(EventType::Like));
        assert_eq!(types(&format!(r#"{{"not":{rated}}}"#)), ALL_TYPES, "another custom type has the same bit");
        assert_eq!(types(&format!(r#"{{"not":{{"all":[{like},{dear}]}}}}"#)), ALL_TYPES);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            r#"{"test":{"field":{"name":"item.colour","kind":"text"},"op":{"test":"exists"}}}"#,
            r#"{"test":{"field":{"name":"item_id","kind":"word"},"op":{"test":"exists"}}}"#,
            r#"{"none":[]}"#,
        ] {
            assert!(serde_json::from_str::<Condition>(bad).is_err(), "{bad}");
        }
    }
}
