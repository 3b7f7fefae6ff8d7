// A department or one of its categories, as a list that is ordered for this visitor.

import { button, fill, h, image, link } from './dom.js';
import { within } from './wish.js';
import { slug } from './words.js';

const STEP = 24;
const K_MAX = 192;

export class Category {
  constructor(shelf, { onmore }) {
    this.list = shelf('category', '', 'grid');
    this.head = h('header', { class: 'page-head' });
    this.more = button('Show more', 'quiet more', () => {
      this.k = Math.min(this.k + STEP, K_MAX);
      onmore();
    });
    this.element = h('div', { class: 'view', data: { view: 'category' } }, this.head, this.list.section, this.more);
    this.list.heading.classList.add('visually-hidden');
  }

  /** The department and category of two address parts; null when the shop has none of these names. */
  static find(departments, [first, second]) {
    const department = departments.find(({ name }) => slug(name) === first);
    const category = department?.categories.find(({ name }) => slug(name) === second);
    return department && (category || !second) ? { department, category } : null;
  }

  enter({ department, category }) {
    const name = category?.name ?? department.name;
    this.path = category?.path ?? department.name;
    this.k = STEP;
    const home = `/c/${slug(department.name)}`;
    const chip = (entry) => link(`${home}/${slug(entry.name)}`, '', 'chip', { 'aria-current': entry === category ? 'page' : undefined });
    fill(this.head,
      h('nav', { class: 'crumbs', 'aria-label': 'You are here' }, link('/', 'Shop'), category ? link(home, department.name) : null),
      h('h1', { tabindex: '-1' }, name),
      h('nav', { class: 'chips small', id: 'categories', 'aria-label': `Categories of ${department.name}` },
        department.categories.map((entry) => {
          const element = chip(entry);
          element.append(image(`/demo/emblems/${entry.glyph}.svg`, 24), entry.name);
          return element;
        })));
    this.list.title(`Products in ${name}`);
    return { title: `${name} · Northlight`, heading: this.head.querySelector('h1') };
  }

  primary(session) {
    return { shelf: this.list, k: this.k, subject: this.path, ...within(this.path), why: session.opened.length ? 'Everything here, in your order' : 'The most popular first, until you open something' };
  }

  rest(session, known, reply) {
    this.more.hidden = !reply || reply.items.length < this.k || this.k >= K_MAX;
    return [];
  }
}
