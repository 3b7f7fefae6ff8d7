// A shelf draws one list and moves its cards when the list changes (first, last, invert, play). Asks for nothing.

import { Card } from './card.js';
import { calm, h } from './dom.js';

const EASE = 'cubic-bezier(.2, .8, .2, 1)';
const STEP_SHARE = 0.85;

export class Shelf {
  /** `layout`: "grid", "row" or "plain", a row of small cards that is no list of the shard's. */
  constructor(name, title, layout, visitor, { onopen, onlike }) {
    this.name = name;
    this.layout = layout;
    this.visitor = visitor;
    this.listeners = { onopen, onlike };
    this.cards = new Map();
    this.reply = null;
    this.subject = null;
    this.heading = h('h2', { id: `h-${name}` }, title);
    this.why = h('p', { class: 'why', data: { why: '' } });
    this.list = h('ul', { class: layout === 'grid' ? 'grid' : `row ${layout}`, data: { list: '' } });
    if (layout !== 'grid') {
      this.list.tabIndex = 0;
      this.list.setAttribute('aria-labelledby', `h-${name}`);
    }
    const step = (sign, label, text) => h('button', { type: 'button', class: 'step', 'aria-label': label, on: { click: () => this.#step(sign) } }, text);
    this.section = h('section', { class: 'shelf', data: { shelf: name }, 'aria-labelledby': `h-${name}`, hidden: true },
      h('header', {}, h('div', {}, this.heading, this.why),
        layout === 'grid' ? null : h('div', { class: 'steps' }, step(-1, 'Scroll back', '‹'), step(1, 'Scroll on', '›'))),
      this.list);
  }

  get ids() {
    return this.reply ? this.reply.items.map((entry) => entry.id) : [];
  }

  title(...parts) {
    this.heading.replaceChildren(...parts);
  }

  /**
   * Shows a reply and answers what changed: how many cards are new, moved up, and gone. A list about another `subject`
   * is no change of the one before. `words` are marked in the titles.
   */
  show(reply, items, { subject = '', words = [] } = {}) {
    if (subject !== this.subject) this.clear();
    const first = this.reply === null;
    this.subject = subject;
    this.section.hidden = false;
    const entries = reply.items.filter((entry) => items.has(entry.id));
    const before = new Map([...this.cards].map(([id, card]) => [id, { box: card.node.getBoundingClientRect(), place: card.place }]));
    const kept = new Set(entries.map((entry) => entry.id));
    const gone = [...this.cards].filter(([id]) => !kept.has(id));
    for (const [id, card] of gone) {
      this.#leave(card, before.get(id).box);
      this.cards.delete(id);
    }
    const cards = entries.map((entry, place) => {
      const card = this.cards.get(entry.id) ?? new Card(items.get(entry.id), this.listeners);
      this.cards.set(entry.id, card);
      card.words(words);
      card.label(entry, place, { of: entries.length, was: before.get(entry.id)?.place, first });
      return card;
    });
    // A card that is already in its place is not touched, so that focus stays where it is.
    cards.forEach(({ node }, place) => {
      if (this.list.children[place] !== node) this.list.insertBefore(node, this.list.children[place] ?? null);
    });
    this.reply = { ...reply, items: entries };
    if (this.layout !== 'plain') cards.forEach((card, place) => this.visitor.watch(card.node, entries[place].id, reply.request_id, entries[place].position ?? place));
    this.#move(before, first);
    const up = cards.filter((card) => card.rise > 0).length;
    return { first, fresh: first ? 0 : cards.filter((card) => !before.has(card.item.id)).length, up, gone: first ? 0 : gone.length };
  }

  hide() {
    this.section.hidden = true;
    this.clear();
  }

  clear() {
    for (const { node } of this.cards.values()) {
      this.visitor.unwatch(node);
      node.remove();
    }
    this.cards.clear();
    this.list.scrollLeft = 0;
    this.reply = null;
    this.subject = null;
  }

  #step(sign) {
    this.list.scrollBy({ left: sign * this.list.clientWidth * STEP_SHARE, behavior: calm.matches ? 'auto' : 'smooth' });
  }

  #move(before, first) {
    if (calm.matches) return;
    for (const [id, { node, place }] of this.cards) {
      const was = before.get(id);
      if (was?.box.width) {
        const now = node.getBoundingClientRect();
        const [x, y] = [was.box.left - now.left, was.box.top - now.top];
        if (x || y) node.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: 'none' }], { duration: 520, easing: EASE });
      } else if (!was) {
        const delay = first ? 18 * place : 60;
        node.animate([{ opacity: 0, transform: 'scale(.96)' }, { opacity: 1, transform: 'none' }], { duration: 320, delay, easing: EASE, fill: 'backwards' });
      }
    }
  }

  #leave({ node }, box) {
    this.visitor.unwatch(node);
    node.remove();
    const around = this.list.getBoundingClientRect();
    const hidden = !box.width || box.bottom < 0 || box.top > innerHeight || box.right < around.left || box.left > around.right;
    if (calm.matches || hidden) return;
    const ghost = node.cloneNode(true);
    ghost.className = 'card ghost';
    ghost.inert = true;
    delete ghost.dataset.item;
    for (const side of ['left', 'top', 'width', 'height']) ghost.style.setProperty(side, `${box[side]}px`);
    document.body.append(ghost);
    ghost.animate([{ opacity: 1 }, { opacity: 0, transform: 'scale(.94)' }], { duration: 240, easing: 'ease-out' }).finished.finally(() => ghost.remove());
  }
}
