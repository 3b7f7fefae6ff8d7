// A shelf draws one list and moves its cards when the list changes (first, last, invert, play). Asks for nothing.

import { department, h, price, sourceColour, sourceName } from './words.js';

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const EASE = 'cubic-bezier(.2, .8, .2, 1)';

export class Shelf {
  constructor(section, visitor, { onopen, onlike }) {
    this.section = section;
    this.name = section.dataset.shelf;
    this.list = section.querySelector('[data-list]');
    this.why = section.querySelector('[data-why]');
    this.visitor = visitor;
    this.onopen = onopen;
    this.onlike = onlike;
    this.cards = new Map();
    this.reply = null;
  }

  get ids() {
    return this.reply ? this.reply.items.map((entry) => entry.id) : [];
  }

  /** Shows a reply; answers how many cards are new and how many moved. */
  show(reply, items) {
    const entries = reply.items.filter((entry) => items.has(entry.id));
    const before = new Map([...this.cards].map(([id, card]) => [id, { box: card.getBoundingClientRect(), place: card.place }]));
    const first = this.reply === null;
    const kept = new Set(entries.map((entry) => entry.id));
    for (const [id, card] of this.cards) {
      if (kept.has(id)) continue;
      this.#leave(card, before.get(id).box);
      this.cards.delete(id);
    }
    const nodes = entries.map((entry, place) => {
      const card = this.cards.get(entry.id) ?? this.#card(items.get(entry.id));
      this.cards.set(entry.id, card);
      card.place = place;
      this.#label(card, entry, first ? undefined : before.get(entry.id)?.place, first);
      return card;
    });
    // A card that is already in its place is not touched, so that focus stays where it is.
    nodes.forEach((card, place) => {
      if (this.list.children[place] !== card) this.list.insertBefore(card, this.list.children[place] ?? null);
    });
    this.reply = reply;
    entries.forEach((entry, place) => this.visitor.watch(this.cards.get(entry.id), entry.id, reply.request_id, entry.position ?? place));
    return this.#move(before, first);
  }

  clear() {
    for (const card of this.cards.values()) {
      this.visitor.unwatch(card);
      card.remove();
    }
    this.cards.clear();
    this.reply = null;
  }

  #card(item) {
    const open = h('button', { class: 'open', type: 'button', 'aria-label': `${item.title}, ${price(item)}` },
      h('img', { src: item.image_url, alt: '', width: 284, height: 284, loading: 'lazy', decoding: 'async' }));
    const like = h('button', { class: 'like', type: 'button', 'aria-pressed': 'false', 'aria-label': `Like ${item.title}` }, '♥');
    const badge = h('span', { class: 'source' });
    const moved = h('span', { class: 'moved', 'aria-hidden': 'true' });
    const card = h('li', { class: 'card', data: { item: item.id, category: item.categories?.[0] ?? '', department: department(item) } },
      open, like, moved,
      h('div', { class: 'text' },
        h('p', { class: 'maker' }, item.brand ?? ''),
        h('p', { class: 'title' }, item.title.replace(`${item.brand} `, '')),
        h('p', { class: 'foot' }, h('span', { class: 'price' }, price(item)), badge)));
    open.addEventListener('click', (event) => this.onopen(item, card.seen, event));
    like.addEventListener('click', () => {
      like.setAttribute('aria-pressed', 'true');
      this.onlike(item, card.seen);
    });
    return Object.assign(card, { badge, moved });
  }

  #label(card, entry, placeBefore, first) {
    const sources = entry.source ?? [];
    card.badge.textContent = sourceName(sources[0] ?? '') + (sources.length > 1 ? ` +${sources.length - 1}` : '');
    card.badge.style.setProperty('--tone', sourceColour(sources[0]));
    card.badge.title = `From: ${sources.map(sourceName).join(', ')}. Score ${Number(entry.score).toPrecision(3)}`;
    card.dataset.source = sources.join(' ');
    const rise = placeBefore === undefined ? 0 : placeBefore - card.place;
    const text = first ? '' : placeBefore === undefined ? 'new' : rise > 0 ? `▲ ${rise}` : '';
    card.moved.textContent = text;
    card.moved.classList.toggle('on', text !== '');
  }

  #move(before, first) {
    let fresh = 0;
    let moved = 0;
    for (const [id, card] of this.cards) {
      const was = before.get(id);
      if (!was) fresh += 1;
      else if (was.place !== card.place) moved += 1;
      if (calm.matches) continue;
      if (was) {
        const now = card.getBoundingClientRect();
        const [x, y] = [was.box.left - now.left, was.box.top - now.top];
        if (x || y) card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], { duration: 520, easing: EASE });
      } else {
        const delay = first ? 24 * card.place : 60;
        card.animate([{ opacity: 0, transform: 'scale(.94)' }, { opacity: 1, transform: 'none' }], { duration: 360, delay, easing: EASE, fill: 'backwards' });
      }
    }
    return { fresh, moved };
  }

  #leave(card, box) {
    this.visitor.unwatch(card);
    card.remove();
    if (calm.matches || box.bottom < 0 || box.top > innerHeight) return;
    const ghost = card.cloneNode(true);
    ghost.className = 'card ghost';
    ghost.inert = true;
    delete ghost.dataset.item;
    for (const side of ['left', 'top', 'width', 'height']) ghost.style.setProperty(side, `${box[side]}px`);
    document.body.append(ghost);
    ghost.animate([{ opacity: 1 }, { opacity: 0, transform: 'scale(.92)' }], { duration: 240, easing: 'ease-out' }).finished.finally(() => ghost.remove());
  }
}
