// The search page: what the shard found for the words, ordered for this visitor, with the words marked.

import { fill, h } from './dom.js';
import { wordsOf } from './matches.js';
import { many } from './words.js';

const ASKED_K = 100;
const FOUND_K = 36;
const OTHERS_K = 12;

export class Search {
  constructor(shelf) {
    this.found = shelf('search', 'Found', 'grid');
    this.others = shelf('instead', 'For you', 'grid');
    this.list = this.found;
    this.heading = h('h1', { tabindex: '-1' });
    this.count = h('p', { class: 'count', role: 'status' });
    this.element = h('div', { class: 'view', data: { view: 'search' } }, h('header', { class: 'page-head' }, this.heading, this.count), this.found.section, this.others.section);
    this.found.heading.classList.add('visually-hidden');
  }

  enter(query) {
    this.query = query;
    this.words = wordsOf(query);
    fill(this.heading, query ? ['Results for ', h('em', {}, `“${query}”`)] : 'What are you looking for?');
    return { title: `${query || 'Search'} · Northlight`, heading: this.heading };
  }

  /** Its own surface; where the shard declares none, the home surface filtered by every word. */
  primary() {
    if (!this.words.length) {
      this.found.hide();
      this.count.textContent = '';
      return { shelf: this.others, k: OTHERS_K, request: { surface: 'home' }, why: true };
    }
    const has = ({ text }) => ({ or: ['title', 'description', 'brand'].map((field) => ({ field, op: 'contains', value: text })) });
    return {
      shelf: this.found, k: ASKED_K, subject: this.query, words: this.words,
      request: { surface: 'search', context: { query: this.query } },
      otherwise: { surface: 'home', filter: { and: this.words.map(has) } },
      // A list is always filled up; what came without the words is not a result.
      keep: (entry, surface) => surface !== 'search' || (entry.source ?? []).includes('text'),
      show: FOUND_K,
    };
  }

  rest(session, known, reply, exclude) {
    if (!this.words.length) return [];
    const n = this.found.ids.length;
    this.count.textContent = n ? `${n === FOUND_K ? `The best ${n}` : many(n, 'product')}, ${session.opened.length ? 'in your order' : 'best match first'}` : 'Nothing in the shop says that.';
    this.found.section.hidden = n === 0;
    if (n >= OTHERS_K) {
      this.others.hide();
      return [];
    }
    this.others.title(n ? 'Also for you' : 'For you instead');
    return [{ shelf: this.others, k: OTHERS_K, exclude, request: { surface: 'home' }, why: true }];
  }
}
