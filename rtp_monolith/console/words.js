// Words, colours and the one way elements are made. Knows nothing of the shard.

export const SOURCES = {
  session_knn: ['Similar sessions', 'var(--s1)'],
  covis: ['Seen together', 'var(--s2)'],
  trending: ['Trending', 'var(--s3)'],
  popular_context: ['Popular here', 'var(--s4)'],
  popular: ['Popular', 'var(--s5)'],
  new: ['New', 'var(--s6)'],
  same_category: ['Same category', 'var(--s2)'],
  catalogue: ['Catalogue', 'var(--s7)'],
  given: ['Given', 'var(--s7)'],
};

export const STAGES = ['state', 'recall', 'prerank', 'rank', 'rerank', 'explore'];

export const sourceName = (name) => SOURCES[name]?.[0] ?? name;
export const sourceColour = (name) => SOURCES[name]?.[1] ?? 'var(--s7)';
export const department = (item) => (item?.categories?.[0] ?? '').split(' > ')[0] || 'Other';

const money = new Map();
export function price(item) {
  const currency = item.currency ?? 'EUR';
  const cents = Number.isInteger(item.price) ? 0 : 2;
  const key = `${currency}${cents}`;
  if (!money.has(key)) {
    money.set(key, new Intl.NumberFormat('en-IE', { style: 'currency', currency, minimumFractionDigits: cents, maximumFractionDigits: cents }));
  }
  return money.get(key).format(item.price);
}

export const ms = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/** An element: properties by name, `data` as dataset, `style` by custom property or name, `on` as listeners. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'style') for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === 'on') for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
