// The cart as the shard knows it, and buying it. Keeps no cart of its own.

import { items } from './api.js';
import { h, price } from './words.js';

export class Cart {
  constructor(dialog, count, { onact, onbuy }) {
    this.dialog = dialog;
    this.count = count;
    this.onact = onact;
    this.onbuy = onbuy;
    this.ids = [];
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  /** Takes the cart of the newest session of a user state; entries are ids or objects that carry one. */
  async update(state) {
    const entries = state?.sessions?.at(-1)?.cart ?? [];
    this.ids = [...new Set(entries.map((entry) => (typeof entry === 'string' ? entry : entry.item_id)))];
    this.count.textContent = String(this.ids.length);
    if (this.dialog.open) await this.#draw();
  }

  async open() {
    await this.#draw();
    this.dialog.showModal();
  }

  async #draw() {
    const known = [...(await items(this.ids)).values()];
    const total = known.reduce((sum, item) => sum + item.price, 0);
    const rows = known.map((item) =>
      h('li', {},
        h('img', { src: item.image_url, alt: '', width: 56, height: 56 }),
        h('span', {}, item.title), h('b', {}, price(item)),
        h('button', { class: 'quiet', type: 'button', 'aria-label': `Remove ${item.title}`, on: { click: (event) => this.onact('remove_from_cart', item, undefined, event) } }, '×')));
    const buy = h('button', { class: 'solid', type: 'button', on: { click: (event) => this.#buy(known, total, event) } }, `Buy for ${price({ price: Math.round(total * 100) / 100 })}`);
    this.dialog.replaceChildren(
      h('header', {}, h('h2', { id: 'cart-title' }, 'Cart'),
        h('button', { class: 'close', type: 'button', 'aria-label': 'Close the cart', on: { click: () => this.dialog.close() } }, '×')),
      known.length ? h('ul', {}, rows) : h('p', { class: 'empty' }, 'Nothing in it yet.'),
      ...(known.length ? [buy] : []));
  }

  #buy(known, total, event) {
    const lines = known.map((item) => ({ item_id: item.id, quantity: 1, price: item.price }));
    this.dialog.close();
    this.onbuy({
      order_id: `order-${Date.now().toString(36)}`,
      items: JSON.stringify(lines),
      value: total.toFixed(2),
      currency: known[0].currency ?? 'EUR',
    }, event);
  }
}
