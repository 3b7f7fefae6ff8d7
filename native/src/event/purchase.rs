//! The lines of a purchase: `props.items`, JSON text `[{"item_id", "quantity", "price"}]`.
//!
//! Checked when the event is admitted, so that the fold can rely on it. Other keys of a line are ignored: shops send
//! names and categories along.

use super::json::Json;
use super::schema::code;
use super::syntax::{Broken, Shape, Syntax, Value};
use crate::error::{Error, Result};

pub const LINES_MAX: usize = 100;
pub const QUANTITY_MAX: u32 = 1_000_000;
const ID_CHARS_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq)]
pub struct PurchaseLine {
    pub item_id: String,
    /// 1 when the line does not say.
    pub quantity: u32,
    pub price: Option<f64>,
}

/// Reads the text of `props.items`; an error names the line and is `wrong_type`.
pub fn purchase_items(text: &str) -> Result<Vec<PurchaseLine>> {
    let mut json = Json::new(text);
    let mut lines = Vec::new();
    if json.shape().map_err(not_json)? != Shape::Array {
        return Err(refused("must be JSON text of an array of lines"));
    }
    let mut open = json.open().map_err(not_json)?;
    while json.element(&mut open).map_err(not_json)? {
        if lines.len() == LINES_MAX {
            return Err(refused(&format!("has more than {LINES_MAX} lines")));
        }
        let number = lines.len();
        lines.push(line(&mut json).map_err(not_json)?.map_err(|why| refused(&format!("line {number}: {why}")))?);
    }
    json.end().map_err(not_json)?;
    Ok(lines)
}

fn line(json: &mut Json<'_>) -> std::result::Result<std::result::Result<PurchaseLine, &'static str>, Broken> {
    if json.shape()? != Shape::Object {
        json.skip()?;
        return Ok(Err("must be an object"));
    }
    let (mut item_id, mut quantity, mut price) = (Value::Null, Value::Null, Value::Null);
    let mut open = json.open()?;
    while let Some(key) = json.key(&mut open)? {
        match key {
            Value::Text(k) if k == "item_id" => item_id = json.value()?,
            Value::Text(k) if k == "quantity" => quantity = json.value()?,
            Value::Text(k) if k == "price" => price = json.value()?,
            _ => json.skip()?,
        }
    }
    Ok(checked(item_id, quantity, price))
}

fn checked(
    item_id: Value<'_>,
    quantity: Value<'_>,
    price: Value<'_>,
) -> std::result::Result<PurchaseLine, &'static str> {
    let item_id = match item_id {
        Value::Text(id) if !id.is_empty() && id.chars().count() <= ID_CHARS_MAX => id.into_owned(),
        _ => return Err("item_id must be a string of 1 to 128 characters"),
    };
    let quantity = match quantity {
        Value::Null => Some(1),
        Value::Number(n) => n.parse::<u32>().ok().filter(|q| (1..=QUANTITY_MAX).contains(q)),
        _ => None,
    };
    let price = match price {
        Value::Null => Some(None),
        Value::Number(n) => n.parse::<f64>().ok().filter(|p| p.is_finite() && *p >= 0.0).map(Some),
        _ => None,
    };
    Ok(PurchaseLine {
        item_id,
        quantity: quantity.ok_or("quantity must be an integer from 1 to 1000000")?,
        price: price.ok_or("price must be a number, not negative")?,
    })
}

fn refused(why: &str) -> Error {
    Error::invalid(code::WRONG_TYPE, "props.items", why)
}

fn not_json(broken: Broken) -> Error {
    refused(&format!("is not JSON at byte {}: {}", broken.at, broken.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_with_their_defaults() {
        let text =
            r#"[{"item_id":"a","quantity":2,"price":9.5,"name":"Cup"},{"item_id":"b","price":null},{"item_id":"b"}]"#;
        let line = |id: &str, quantity, price| PurchaseLine { item_id: id.into(), quantity, price };
        assert_eq!(purchase_items(text).unwrap(), [line("a", 2, Some(9.5)), line("b", 1, None), line("b", 1, None)],);
        assert_eq!(purchase_items(" [ ] ").unwrap(), []);
    }

    #[test]
    fn what_is_not_a_list_of_lines_is_refused() {
        for (text, why) in [
            ("", "must be JSON text of an array of lines"),
            ("{}", "must be JSON text of an array of lines"),
            ("[", "is not JSON at byte 1: expected a value"),
            ("[] []", "is not JSON at byte 3: something after the value"),
            ("[1]", "line 0: must be an object"),
            ("[{}]", "line 0: item_id must be a string of 1 to 128 characters"),
            (r#"[{"item_id":""}]"#, "line 0: item_id must be a string of 1 to 128 characters"),
            (r#"[{"item_id":"a"},{"item_id":7}]"#, "line 1: item_id must be a string of 1 to 128 characters"),
            (r#"[{"item_id":"a","quantity":0}]"#, "line 0: quantity must be an integer from 1 to 1000000"),
            (r#"[{"item_id":"a","quantity":1.5}]"#, "line 0: quantity must be an integer from 1 to 1000000"),
            (r#"[{"item_id":"a","quantity":"2"}]"#, "line 0: quantity must be an integer from 1 to 1000000"),
            (r#"[{"item_id":"a","price":-1}]"#, "line 0: price must be a number, not negative"),
            (r#"[{"item_id":"a","price":1e999}]"#, "line 0: price must be a number, not negative"),
            (r#"[{"item_id":"a","price":true}]"#, "line 0: price must be a number, not negative"),
        ] {
            assert_eq!(purchase_items(text), Err(Error::invalid("wrong_type", "props.items", why)), "{text}");
        }
    }

    #[test]
    fn a_hundred_lines_are_the_most() {
        let lines = |n| format!("[{}]", vec![r#"{"item_id":"a"}"#; n].join(","));
        assert_eq!(purchase_items(&lines(100)).unwrap().len(), 100);
        assert_eq!(
            purchase_items(&lines(101)),
            Err(Error::invalid("wrong_type", "props.items", "has more than 100 lines")),
        );
    }
}
