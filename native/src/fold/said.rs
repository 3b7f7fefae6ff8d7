//! The props of one event as the fold reads them.
//!
//! Invariant: what is read is what `Props::get` would find, key by key; it is found in one pass because a look-up of a key
//! walks all props. It does not know what the values are used for.

use crate::record::Event;

/// The props that the fold reads, found in one pass; of a key given twice the last counts.
#[derive(Debug, Default)]
pub struct Said<'e> {
    /// In the order of `DIMENSIONS`.
    pub context: [Option<&'e str>; 3],
    pub query: Option<&'e str>,
    pub order_id: Option<&'e str>,
    pub items: Option<&'e str>,
    pub price: Option<f64>,
    pub quantity: Option<f64>,
    pub value: Option<f64>,
    pub depth_pct: Option<f64>,
    /// At most a day; what is longer is a tab left open.
    pub dwell_ms: Option<u32>,
}

impl<'e> Said<'e> {
    pub fn read(event: &Event<'e>) -> Said<'e> {
        let mut said = Said::default();
        for (key, value) in event.props.raw() {
            let text = || std::str::from_utf8(value).ok();
            let number = || text().and_then(|v| v.trim().parse::<f64>().ok()).filter(|v| v.is_finite());
            match key {
                b"device" => said.context[0] = text(),
                b"country" => said.context[1] = text(),
                b"channel" => said.context[2] = text(),
                b"query" => said.query = text(),
                b"order_id" => said.order_id = text(),
                b"items" => said.items = text(),
                b"price" => said.price = number(),
                b"quantity" => said.quantity = number(),
                b"value" => said.value = number(),
                b"depth_pct" => said.depth_pct = number(),
                b"dwell_ms" => {
                    said.dwell_ms = number().filter(|v| *v >= 0.0).map(|v| v.min(86_400_000.0) as u32);
                }
                _ => {}
            }
        }
        said
    }

    /// Whole and at least one.
    pub fn quantity(&self) -> Option<u32> {
        self.quantity.map(|q| q.clamp(1.0, 1e6) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_str;
    use crate::record::{EventType, Props};

    fn event<'e>(bytes: &'e mut Vec<u8>, pairs: &[(&str, &str)]) -> Event<'e> {
        for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
            put_str(bytes, text);
        }
        Event {
            event_id: "e",
            user_id: None,
            session_id: "s",
            event_type: EventType::Click,
            custom: None,
            item_id: None,
            ts_ms: 1,
            received_ms: 1,
            request_id: None,
            position: None,
            linked_user: None,
            trusted: false,
            props: Props { count: pairs.len() as u32, bytes },
        }
    }

    #[test]
    fn one_pass_finds_what_single_lookups_find() {
        let pairs = [
            ("device", "phone"),
            ("quantity", "2.6"),
            ("price", "dear"),
            ("dwell_ms", "1e12"),
            ("depth_pct", " 40 "),
            ("device", "tablet"),
            ("query", ""),
            ("value", "inf"),
            ("unknown", "1"),
        ];
        let mut bytes = Vec::new();
        let event = event(&mut bytes, &pairs);
        let said = Said::read(&event);
        assert_eq!(said.context, [Some("tablet"), None, None]);
        assert_eq!(said.context[0], event.props.get("device"));
        assert_eq!((said.quantity, said.quantity()), (event.props.number("quantity"), Some(2)));
        assert_eq!((said.price, said.value), (event.props.number("price"), event.props.number("value")));
        assert_eq!((said.price, said.value), (None, None));
        assert_eq!(said.dwell_ms, Some(86_400_000), "a tab left open is a day");
        assert_eq!((said.depth_pct, said.query, said.order_id), (Some(40.0), Some(""), None));
    }
}
