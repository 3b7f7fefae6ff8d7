// What the page needs to know of the visitor's session, read from the state that the shard answers.

const OPENED = new Set(['click', 'view']);
const LIKED = new Set(['click', 'view', 'like', 'add_to_cart', 'purchase']);
const INTEREST_ITEMS_MAX = 12;
const FADE = 0.85;

export const NOBODY = { key: '', state: null, trail: [], opened: [], cart: [] };

/** `trail`: what was done, newest first; `opened`: ids, each once, newest first; `cart`: id and quantity. */
export function summary(state, key) {
  if (!state) return NOBODY;
  const latest = state.sessions?.at(-1) ?? {};
  const trail = [...(latest.items ?? [])].reverse();
  const opened = [...new Set(trail.filter((entry) => OPENED.has(entry.event_type)).map((entry) => entry.item_id))];
  const cart = (latest.cart ?? []).map((id) => ({ id, quantity: latest.cart_quantities?.[id] ?? 1 }));
  return { key, state, trail, opened, cart };
}

/** Category paths of what was opened and liked last, the strongest first; newer ones weigh more. `known`: items by id. */
export function interests(session, known) {
  const weights = new Map();
  const items = session.trail.filter((entry) => LIKED.has(entry.event_type)).slice(0, INTEREST_ITEMS_MAX);
  items.forEach((entry, age) => {
    const path = known.get(entry.item_id)?.categories?.[0];
    if (path) weights.set(path, (weights.get(path) ?? 0) + FADE ** age);
  });
  return [...weights].sort((a, b) => b[1] - a[1]).map(([path]) => path);
}
