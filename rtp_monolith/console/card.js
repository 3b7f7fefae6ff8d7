// One product in a list: its picture, its words, where it came from, and how it moved.

import { calm, h, image } from './dom.js';
import { marked, snippet } from './matches.js';
import { reason } from './reason.js';
import { department, price, shortTitle, sourceColour, sourceName } from './words.js';

const TOLD_MS = 9000;

/** A click that the browser should handle itself: a new tab, a new window, a download. */
export const modified = (event) => event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button > 0;
export const address = (item) => `/p/${encodeURIComponent(item.id)}`;

export class Card {
  constructor(item, { onopen, onlike }) {
    this.item = item;
    this.place = 0;
    this.rise = 0;
    this.shown = null;
    this.open = h('a', { class: 'open', href: address(item), 'aria-label': `${item.title}, ${price(item)}` }, image(item.image_url, 284, { loading: 'lazy' }));
    this.like = h('button', { class: 'like', type: 'button', 'aria-pressed': 'false', 'aria-label': `Like ${item.title}` }, '♥');
    this.source = h('button', { class: 'source', type: 'button', hidden: true });
    this.moved = h('span', { class: 'moved', 'aria-hidden': 'true' });
    this.title = h('p', { class: 'title' }, shortTitle(item));
    this.found = h('p', { class: 'found', hidden: true });
    this.node = h('li', { class: 'card', data: { item: item.id, category: item.categories?.[0] ?? '', department: department(item) } },
      this.open, this.like, this.moved,
      h('div', { class: 'text' },
        h('p', { class: 'maker' }, item.brand ?? ''), this.title, this.found,
        h('p', { class: 'foot' }, h('span', { class: 'price' }, price(item)), this.source)));
    this.open.addEventListener('click', (event) => {
      if (modified(event)) return;
      event.preventDefault();
      onopen(item, this.node.seen, event);
    });
    this.like.addEventListener('click', (event) => {
      this.like.setAttribute('aria-pressed', 'true');
      onlike(item, this.node.seen, event);
    });
    this.source.addEventListener('click', () => reason(this.source, item, this.shown));
  }

  /** Marks the words of a query in the title, and shows where else they stand when the title has not all of them. */
  words(wanted) {
    const asked = wanted.map(({ text }) => text).join(' ');
    if (this.asked === asked) return;
    this.asked = asked;
    const { parts, met } = marked(shortTitle(this.item), wanted);
    this.title.replaceChildren(...parts);
    const missing = wanted.filter((word) => !met.has(word));
    const elsewhere = missing.length ? this.#elsewhere(missing) : null;
    this.found.hidden = !elsewhere;
    this.found.replaceChildren(...(elsewhere?.parts ?? []));
  }

  #elsewhere(missing) {
    const { brand = '', categories = [], description = '', title } = this.item;
    const found = [title.split(',').slice(1).join(',').trim(), brand, ...categories, description].map((text) => snippet(text, missing)).filter(Boolean);
    return found.sort((a, b) => b.met.size - a.met.size)[0] ?? null;
  }

  /** What the shard said of this item in this list, and how far it rose since the list before. */
  label(entry, place, { of, was, first }) {
    const sources = entry.source ?? [];
    const tried = entry.propensity !== undefined || sources.includes('explore');
    const lead = tried ? 'explore' : sources[0];
    this.place = place;
    this.shown = { entry, place, of };
    this.rise = was === undefined ? 0 : was - place;
    this.source.hidden = !lead;
    this.source.textContent = lead ? sourceName(lead) + (sources.length > 1 ? ` +${sources.length - 1}` : '') : '';
    this.source.style.setProperty('--tone', sourceColour(lead));
    this.source.setAttribute('aria-label', `Why ${this.item.title} is here: ${sources.map(sourceName).join(', ')}`);
    this.node.dataset.source = sources.join(' ');
    this.node.classList.toggle('tried', tried);
    const text = first ? '' : was === undefined ? 'new here' : this.rise > 0 ? `▲ ${this.rise}` : '';
    this.moved.textContent = text;
    this.moved.classList.toggle('on', text !== '');
    this.telling?.cancel();
    if (text && !calm.matches) {
      this.telling = this.moved.animate([{ opacity: 1 }, { opacity: 1, offset: 0.9 }, { opacity: 0 }], { duration: TOLD_MS });
      this.telling.onfinish = () => this.moved.classList.remove('on');
    }
  }
}
