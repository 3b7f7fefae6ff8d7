// The cart as the shard knows it, buying it, and what goes with it. Keeps no cart of its own.

import { button, fill, h, image, link } from './dom.js';
import { address } from './card.js';
import { many, price, shortTitle } from './words.js';

const UPSELL_K = 12;

export class Cart {
  constructor(shelf, { onact }) {
    this.onact = onact;
    this.body = h('div', { class: 'cart', id: 'cart' });
    this.list = shelf('upsell', 'Goes with your cart', 'row');
    this.more = shelf('cart-more', 'For you', 'row');
    this.heading = h('h1', { tabindex: '-1' }, 'Cart');
    this.element = h('div', { class: 'view', data: { view: 'cart' } }, h('header', { class: 'page-head' }, this.heading), this.body, this.list.section, this.more.section);
    this.readsFirst = true;
  }

  enter() {
    return { title: 'Cart · Northlight', heading: this.heading };
  }

  primary(session) {
    const cart = session.cart.map(({ id }) => id);
    if (cart.length) return { shelf: this.list, k: UPSELL_K, request: { surface: 'cart', exclude: cart, context: { cart } }, why: true };
    this.list.hide();
    return { shelf: this.more, k: UPSELL_K, request: { surface: 'home' }, why: true };
  }

  rest(session, known, reply, exclude) {
    const cart = session.cart.map(({ id }) => id);
    return cart.length ? [{ shelf: this.more, k: UPSELL_K, exclude, request: { surface: 'home', exclude: cart }, why: true }] : [];
  }

  /** The lines of the cart; `known` are the items by id. */
  draw(session, known) {
    const lines = session.cart.filter(({ id }) => known.has(id)).map(({ id, quantity }) => ({ item: known.get(id), quantity }));
    if (!lines.length) {
      fill(this.body, h('p', { class: 'empty' }, 'Nothing in it yet. ', link('/', 'Look around')));
      return;
    }
    const total = lines.reduce((sum, { item, quantity }) => sum + (item.price ?? 0) * quantity, 0);
    const value = { price: Math.round(total * 100) / 100, currency: lines[0].item.currency };
    fill(this.body,
      h('ul', { class: 'lines' }, lines.map((line) => this.#line(line))),
      h('div', { class: 'total' },
        h('p', {}, h('span', {}, many(lines.reduce((sum, { quantity }) => sum + quantity, 0), 'product')), h('b', {}, price(value))),
        button(`Buy for ${price(value)}`, 'solid', (event) => this.#buy(lines, value, event)),
        h('p', { class: 'hint' }, 'Nothing is charged and nothing is sent: the shop is made up.')));
  }

  #line({ item, quantity }) {
    const change = (type, n) => (event) => this.onact(type, item, undefined, event, { quantity: n, price: item.price });
    return h('li', { data: { line: item.id } },
      link(address(item), image(item.image_url, 84), 'thumb', { tabindex: '-1', 'aria-hidden': 'true' }),
      h('div', { class: 'what' }, h('p', { class: 'maker' }, item.brand ?? ''), link(address(item), shortTitle(item)), h('p', { class: 'hint' }, item.title.split(', ').at(1) ?? '')),
      h('div', { class: 'quantity', role: 'group', 'aria-label': `How many of ${item.title}` },
        button('−', 'step', change('remove_from_cart', 1), { 'aria-label': 'One less' }), h('b', {}, String(quantity)),
        button('+', 'step', change('add_to_cart', 1), { 'aria-label': 'One more' })),
      h('b', { class: 'price' }, price({ price: Math.round((item.price ?? 0) * quantity * 100) / 100, currency: item.currency })),
      button('×', 'close', change('remove_from_cart', quantity), { 'aria-label': `Remove ${item.title}` }));
  }

  #buy(lines, value, event) {
    this.onact('purchase', null, undefined, event, {
      order_id: `order-${Date.now().toString(36)}`,
      items: JSON.stringify(lines.map(({ item, quantity }) => ({ item_id: item.id, quantity, price: item.price }))),
      value: value.price.toFixed(2),
      currency: value.currency ?? 'EUR',
    });
  }
}
