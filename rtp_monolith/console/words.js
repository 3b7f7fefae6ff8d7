// The words of the page: names of sources, stages and codes in plain language, prices and times. Knows nothing of the shard.

/** By source: a short name, a colour, and why an item that came from it is in the list. */
const SOURCES = {
  ann: ['Like your session', 'var(--s4)', 'The session model places it close to what you are doing now.'],
  ann_user: ['Like you', 'var(--s4)', 'It is close to what you have wanted on earlier visits and now.'],
  session_knn: ['Similar sessions', 'var(--s1)', 'Visitors whose sessions look like yours went on to it.'],
  covis: ['Seen together', 'var(--s2)', 'Often opened in one visit with something you opened.'],
  same_category: ['Same category', 'var(--s8)', 'It stands beside something you opened.'],
  text: ['Your words', 'var(--s2)', 'It says what you searched for.'],
  trending: ['Trending', 'var(--s3)', 'It is opened more than usual right now.'],
  popular_context: ['Popular here', 'var(--s5)', 'It is popular in this part of the shop.'],
  popular: ['Popular', 'var(--s5)', 'It is popular in the whole shop.'],
  new: ['New', 'var(--s6)', 'It came into the shop a short time ago.'],
  explore: ['Trying out', 'var(--s6)', 'It is new, and the shop is finding out who likes it.'],
  catalogue: ['Catalogue', 'var(--s7)', 'It fills the list.'],
  given: ['Given', 'var(--s7)', 'It was asked for.'],
};

/** Sources that know this visitor, and not only the shop. */
const PERSONAL = new Set(['ann', 'ann_user', 'session_knn', 'covis', 'same_category']);

export const STAGES = ['state', 'recall', 'prerank', 'rank', 'rerank', 'explore'];

const DEGRADED = {
  no_model: 'No ranking model is loaded. The lists are made of similar sessions, of what is seen together, and of what is popular.',
  no_items: 'The shop is empty.',
  unknown_items: 'Some of the given items are not in the catalogue; they come last.',
  encoder_failed: 'The session model failed: nothing was looked up by likeness.',
  encoder_slow: 'The session model took too long: nothing was looked up by likeness.',
  ann_failed: 'The search by likeness failed: the other sources filled in.',
  ann_slow: 'The search by likeness took too long: the other sources filled in.',
  recall_failed: 'Finding candidates failed: the list is what is popular.',
  recall_slow: 'Finding candidates took too long: some sources were not asked.',
  prerank_failed: 'The light ranking failed: candidates went on in the order they were found.',
  prerank_slow: 'The light ranking took too long: fewer candidates were ranked.',
  ranker_failed: 'The ranking model failed: the light ranking ordered the list.',
  ranker_slow: 'There was no time left for the ranking model: the light ranking ordered the list.',
  rerank_failed: 'Mixing the list failed: it is in the order of its scores.',
  rerank_slow: 'There was no time left to mix the list: it is in the order of its scores.',
  explore_failed: 'Trying out a new item failed: the list has none.',
  explore_slow: 'There was no time left to try out a new item.',
  decision_not_logged: 'This list could not be written to the log.',
  'features:user_batch': 'What was computed of you overnight could not be read in time.',
  'features:item_batch': 'What was computed of the items overnight is not here yet.',
  'features:user_stale': 'What was computed of you is too old and was left out.',
  'features:item_stale': 'What was computed of the items is too old and was left out.',
  stale_position: 'This list may not have seen your last click yet.',
};

const LEDGER = {
  impression: 'seen', click: 'opened', view: 'opened by link', dwell: 'stayed', like: 'liked', dislike: 'not for me', add_to_cart: 'to cart',
  remove_from_cart: 'out of cart', purchase: 'bought', skip: 'skipped', scroll: 'scrolled', refund: 'returned', search: 'searched',
};

const DONE = {
  click: 'you opened *', view: 'you opened *', like: 'you liked *', dislike: 'you passed on *', add_to_cart: 'you put * in the cart',
  remove_from_cart: 'you took * out of the cart', purchase: 'you bought it', search: 'you searched for *',
};

export const sourceName = (name) => SOURCES[name]?.[0] ?? name;
export const sourceColour = (name) => SOURCES[name]?.[1] ?? 'var(--s7)';
export const sourceReason = (name) => SOURCES[name]?.[2] ?? `It was found by ${name}.`;
export const isPersonal = (entry) => (entry.source ?? []).some((name) => PERSONAL.has(name));
export const verb = (type) => LEDGER[type] ?? type;

/** A code of `degraded` as a sentence; codes carry the name of a source after a colon. */
export function degradedWords(code) {
  const [head, source] = code.split(':');
  if (head === 'source_failed') return `One source did not answer (${sourceName(source)}): the others filled in.`;
  return DEGRADED[code] ?? 'A step of the list took its simpler way.';
}

/** "you opened Birk Sofa": what the visitor did last, for a sentence. */
export const deed = ({ type, name }) => (DONE[type] ?? type).replace('*', () => name);

export const department = (item) => (item?.categories?.[0] ?? '').split(' > ')[0] || 'Other';
export const categoryName = (path) => path.split(' > ').at(-1);
export const slug = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');

/** The title without what the card says elsewhere: its maker before it, its size or colour behind it. */
export function shortTitle(item) {
  const title = item.brand && item.title.startsWith(`${item.brand} `) ? item.title.slice(item.brand.length + 1) : item.title;
  return title.split(',')[0];
}

const money = new Map();
export function price({ price: value, currency }) {
  if (typeof value !== 'number') return '';
  const digits = Number.isInteger(value) ? 0 : 2;
  const key = `${currency ?? 'EUR'}${digits}`;
  if (!money.has(key)) {
    money.set(key, new Intl.NumberFormat('en-IE', { style: 'currency', currency: currency ?? 'EUR', minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return money.get(key).format(value);
}

export const ms = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
export const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** Names with their counts, most frequent first. */
export function tally(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
