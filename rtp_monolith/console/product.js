// The product that is open: a sheet that leaves the shelves in sight, and the time spent with it.

import { h, price } from './words.js';

export class Product {
  constructor(section, visitor, { onact }) {
    this.section = section;
    this.visitor = visitor;
    this.onact = onact;
    this.item = null;
    this.since = 0;
    addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.item) this.close();
    });
    addEventListener('pagehide', () => this.#leave());
  }

  open(item, seen) {
    this.#leave();
    this.item = item;
    this.seen = seen;
    this.since = performance.now();
    const facts = Object.entries(item.attributes ?? {}).map(([name, value]) =>
      h('li', {}, h('span', {}, name), ' ', Array.isArray(value) ? value.join(', ') : String(value)));
    const button = (name, type, kind) => {
      const element = h('button', { class: kind, type: 'button' }, name);
      element.addEventListener('click', (event) => this.onact(type, item, seen, event));
      return element;
    };
    this.section.replaceChildren(
      h('img', { src: item.image_url, alt: '', width: 284, height: 284 }),
      h('div', { class: 'about' },
        h('p', { class: 'maker' }, (item.categories?.[0] ?? '').replace(' > ', ' / ')),
        h('h2', { id: 'product-title' }, item.title),
        h('p', { class: 'description' }, item.description ?? ''),
        h('ul', { class: 'facts' }, facts)),
      h('div', { class: 'buy' },
        h('p', { class: 'price' }, price(item)),
        h('p', { class: 'seller' }, `Sold by ${item.seller ?? 'the shop'}`),
        button('Add to cart', 'add_to_cart', 'solid'),
        button('Like', 'like', 'quiet'),
        button('Not for me', 'dislike', 'quiet')),
      h('button', { class: 'close', type: 'button', 'aria-label': 'Close the product', on: { click: () => this.close() } }, '×'));
    this.section.hidden = false;
  }

  close() {
    this.#leave();
    this.item = null;
    this.section.hidden = true;
  }

  #leave() {
    if (!this.item) return;
    const dwell = Math.round(performance.now() - this.since);
    this.visitor.later('dwell', this.item.id, { props: { dwell_ms: dwell } });
    this.since = performance.now();
  }
}
