// The first page: what is for this visitor, and shelves that say why they are there.

import { h } from './dom.js';
import { interests } from './session.js';
import { isForYou, within } from './wish.js';
import { categoryName, shortTitle } from './words.js';

const GRID_K = 12;
const ROW_K = 12;
const SMALL_PRICE = 30;
const NEW_DAYS = 12;
const CATEGORIES = 3;
const DAY_MS = 86_400_000;

export class Home {
  constructor(shelf) {
    this.list = shelf('home', 'Popular right now', 'grid');
    this.product = shelf('product', '', 'row');
    this.cart = shelf('cart', 'Goes with your cart', 'row');
    this.categories = Array.from({ length: CATEGORIES }, (_, i) => shelf(`category-${i}`, '', 'row'));
    this.fresh = shelf('new', 'New in', 'row');
    this.small = shelf('small', `Under €${SMALL_PRICE}`, 'row');
    this.recent = shelf('recent', 'You looked at', 'plain');
    this.intro = h('div', { class: 'intro' },
      h('h1', { tabindex: '-1' }, 'A shop that keeps up with you'),
      h('p', {}, 'Open anything. Your click is on disk and in the next list before the page has drawn it.'));
    const [first, ...others] = this.categories;
    this.element = h('div', { class: 'view', data: { view: 'home' } }, this.intro,
      [this.list, this.product, this.cart, first, this.fresh, ...others, this.small, this.recent].map(({ section }) => section));
  }

  enter() {
    return { title: 'Northlight, a shop that keeps up', heading: this.intro.querySelector('h1') };
  }

  primary() {
    const told = (reply) => {
      const mine = isForYou(reply);
      this.intro.classList.toggle('known', mine);
      this.list.title(mine ? 'For you' : 'Popular right now');
      return mine || 'The same for every stranger, until you open something';
    };
    return { shelf: this.list, k: GRID_K, request: { surface: 'home' }, told };
  }

  rest(session, known, reply, exclude) {
    const about = known.get(session.opened[0]);
    const wishes = [];
    if (about) {
      this.product.title('Because you looked at ', h('em', {}, shortTitle(about)));
      wishes.push({ shelf: this.product, k: ROW_K, subject: about.id, request: { surface: 'product', context: { item_id: about.id } }, why: true });
    } else this.product.hide();
    const cart = session.cart.map(({ id }) => id);
    if (cart.length) wishes.push({ shelf: this.cart, k: ROW_K, request: { surface: 'cart', exclude: cart, context: { cart } }, why: true });
    else this.cart.hide();
    const mine = interests(session, known);
    const all = reply ? reply.items.map((entry) => known.get(entry.id)?.categories?.[0]).filter(Boolean) : [];
    const paths = [...new Set([...mine, ...all])].slice(0, CATEGORIES);
    this.categories.forEach((shelf, i) => {
      const path = paths[i];
      if (!path) return shelf.hide();
      shelf.title(mine.includes(path) ? 'More in ' : 'Popular in ', h('em', {}, categoryName(path)));
      wishes.push({ shelf, k: ROW_K, subject: path, ...within(path), why: mine.includes(path) ? 'You have been here' : undefined });
      return undefined;
    });
    const since = Math.round((reply?.as_of_ms ?? Date.now()) - NEW_DAYS * DAY_MS);
    wishes.push({ shelf: this.fresh, k: ROW_K, request: { surface: 'home', filter: { field: 'created_at', op: 'gte', value: since } }, why: mine.length ? 'These days, in your order' : 'These days' });
    wishes.push({ shelf: this.small, k: ROW_K, request: { surface: 'home', filter: { field: 'price', op: 'lt', value: SMALL_PRICE } }, why: mine.length ? 'Small things, in your order' : 'Small things' });
    return wishes.map((wish) => ({ ...wish, exclude }));
  }

  recents(session) {
    return { shelf: this.recent, ids: session.opened };
  }
}
