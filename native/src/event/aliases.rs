//! Event names of GA4 and Segment, taken as if they were ours. One table.
//!
//! Only names that mean the same thing are here; a name that GA4 shares with us (`add_to_cart`, `purchase`, `refund`,
//! `search`) needs no row. A custom type that a team declares under one of these names wins over the table.

use crate::record::EventType::{self, *};

const ALIASES: [(&str, EventType); 12] = [
    // GA4 recommended e-commerce events.
    ("view_item", View),
    ("select_item", Click),
    ("view_item_list", Impression),
    ("view_search_results", Search),
    // Segment e-commerce spec v2. A viewed list counts as an impression of the one item that the event names.
    ("Product Viewed", View),
    ("Product Clicked", Click),
    ("Product List Viewed", Impression),
    ("Product Added", AddToCart),
    ("Product Removed", RemoveFromCart),
    ("Order Completed", Purchase),
    ("Order Refunded", Refund),
    ("Products Searched", Search),
];

pub fn event_type(name: &str) -> Option<EventType> {
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, t)| *t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EVENT_TYPES;

    #[test]
    fn no_alias_hides_a_type_of_the_contract_or_another_alias() {
        for (i, (name, _)) in ALIASES.iter().enumerate() {
            assert!(EVENT_TYPES.iter().all(|(_, own)| own != name), "{name}");
            assert!(ALIASES[..i].iter().all(|(other, _)| other != name), "{name}");
        }
        assert_eq!(event_type("Order Completed"), Some(Purchase));
        assert_eq!(event_type("order completed"), None);
    }
}
