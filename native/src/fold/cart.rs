//! The cart of a session: items with quantities, in the order of adding, bounded.

pub const CART_MAX: usize = 24;

/// Adds a quantity; when the cart is full the first entry makes room.
pub fn cart_add(cart: &mut Vec<(u64, u32)>, item: u64, quantity: u32) {
    if let Some(entry) = cart.iter_mut().find(|(i, _)| *i == item) {
        entry.1 = entry.1.saturating_add(quantity);
        return;
    }
    if cart.len() == CART_MAX {
        cart.remove(0);
    }
    cart.push((item, quantity));
}

/// Takes a quantity out, or the whole entry without one.
pub fn cart_remove(cart: &mut Vec<(u64, u32)>, item: u64, quantity: Option<u32>) {
    if let Some(at) = cart.iter().position(|(i, _)| *i == item) {
        match quantity {
            Some(n) if n < cart[at].1 => cart[at].1 -= n,
            _ => {
                cart.remove(at);
            }
        }
    }
}
