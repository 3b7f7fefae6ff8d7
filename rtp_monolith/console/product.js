// The page of one product, and the time spent with it.

import { button, fill, h, image, link } from './dom.js';
import { categoryName, price, slug } from './words.js';

const ROW_K = 12;
const NEW_DAYS = 12;
const DAY_MS = 86_400_000;

export const categoryAddress = (path) => `/c/${path.split(' > ').map(slug).join('/')}`;

export class Product {
  constructor(shelf, visitor, { onact }) {
    this.visitor = visitor;
    this.onact = onact;
    this.item = null;
    this.since = null;
    this.head = h('article', { class: 'product', id: 'product', 'aria-labelledby': 'product-title' });
    this.list = shelf('similar', 'People go on to', 'row');
    this.cart = shelf('with-cart', 'Goes with your cart', 'row');
    this.more = shelf('more', 'For you', 'row');
    this.recent = shelf('recent-here', 'You looked at', 'plain');
    this.element = h('div', { class: 'view', data: { view: 'product' } }, this.head, [this.list, this.cart, this.more, this.recent].map(({ section }) => section));
    visitor.onsight = (visible) => (visible ? this.#look() : this.#rest());
  }

  /** `seen`: the decision that showed it, when a card was clicked. */
  enter(item, seen) {
    this.item = item;
    this.seen = seen;
    this.#look();
    this.#draw();
    return { title: `${item.title} · Northlight`, heading: this.head.querySelector('h1') };
  }

  leave() {
    this.#rest();
    this.item = null;
  }

  primary() {
    return { shelf: this.list, k: ROW_K, subject: this.item.id, request: { surface: 'product', context: { item_id: this.item.id } }, why: true };
  }

  rest(session, known, reply, exclude) {
    const id = this.item.id;
    const cart = session.cart.map((entry) => entry.id);
    this.update(session);
    if (!cart.length) this.cart.hide();
    return [
      ...(cart.length ? [{ shelf: this.cart, k: ROW_K, exclude, request: { surface: 'cart', exclude: [...cart, id], context: { cart } }, why: true }] : []),
      { shelf: this.more, k: ROW_K, exclude, request: { surface: 'home', exclude: [id] }, why: true },
    ];
  }

  recents(session) {
    return { shelf: this.recent, ids: session.opened.filter((id) => id !== this.item?.id) };
  }

  /** The button of a product that is in the cart leads there. */
  update(session) {
    const inside = session.cart.some(({ id }) => id === this.item?.id);
    this.head.querySelector('[data-in-cart]')?.toggleAttribute('hidden', !inside);
  }

  #look() {
    this.since = performance.now();
  }

  /** Says how long the product was in sight, once for each stay. */
  #rest() {
    if (!this.item || this.since === null) return;
    this.visitor.later('dwell', this.item.id, { props: { dwell_ms: Math.round(performance.now() - this.since) } });
    this.since = null;
  }

  #draw() {
    const item = this.item;
    const facts = Object.entries(item.attributes ?? {}).map(([name, value]) =>
      h('div', {}, h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, Array.isArray(value) ? value.join(', ') : String(value))));
    const does = (text, type, kind) => button(text, kind, (event) => {
      if (type !== 'add_to_cart') event.currentTarget.setAttribute('aria-pressed', 'true');
      this.onact(type, item, this.seen, event);
    });
    const [path] = item.categories ?? [];
    const levels = path ? path.split(' > ').map((_, i, all) => all.slice(0, i + 1).join(' > ')) : [];
    const fresh = Date.now() - item.created_at < NEW_DAYS * DAY_MS;
    fill(this.head,
      h('div', { class: 'picture' }, image(item.image_url, 560)),
      h('div', { class: 'about' },
        h('nav', { class: 'crumbs', 'aria-label': 'You are here' }, link('/', 'Shop'), levels.map((level) => link(categoryAddress(level), categoryName(level)))),
        h('h1', { id: 'product-title', tabindex: '-1' }, item.title),
        h('p', { class: 'seller' }, fresh ? h('span', { class: 'tag' }, 'New in') : null, `Sold by ${item.seller ?? 'the shop'}`),
        h('p', { class: 'price' }, price(item)),
        h('p', { class: 'description' }, item.description ?? ''),
        h('div', { class: 'buy' },
          item.available === false ? h('p', { class: 'tag' }, 'Sold out') : does('Add to cart', 'add_to_cart', 'solid'),
          does('Like', 'like', 'quiet'), does('Not for me', 'dislike', 'quiet')),
        h('p', { class: 'in-cart', hidden: true, data: { inCart: '' } }, 'It is in your cart. ', link('/cart', 'Open the cart')),
        h('dl', { class: 'facts' }, facts)));
  }
}
