// The engine panel: what the shard knows of this session, where the items came from, and where the time went.

import { items } from './api.js';
import { STAGES, department, h, ms, sourceColour, sourceName } from './words.js';

const HISTORY_MAX = 24;
const STATE_ITEMS_MAX = 12;
const VERBS = {
  impression: 'seen', click: 'clicked', view: 'viewed', dwell: 'stayed', like: 'liked', dislike: 'not for me', add_to_cart: 'to cart',
  remove_from_cart: 'out of cart', purchase: 'bought', skip: 'skipped', scroll: 'scrolled', refund: 'returned', search: 'searched',
};

const block = (name, title, note) => h('section', { class: 'block', data: { block: name } }, h('h3', {}, title, note ? h('small', {}, note) : null), h('div', { class: 'body' }));

export class Engine {
  constructor(root) {
    this.root = root;
    this.history = [];
    this.mix = new Map();
    this.blocks = Object.fromEntries([
      ['speed', block('speed', 'Click to changed list')],
      ['stages', block('stages', 'Inside the list', 'ms in each stage')],
      ['sources', block('sources', 'Where the items came from')],
      ['mix', block('mix', 'What the list is made of')],
      ['session', block('session', 'This session, as the shard sees it')],
    ].map(([name, element]) => [name, element.querySelector('.body')]));
    root.append(
      h('header', {}, h('h2', {}, 'Engine'), h('span', { class: 'codes', data: { codes: '' } }),
        h('button', { class: 'close', type: 'button', id: 'close-engine', 'aria-label': 'Close the engine panel' }, '×')),
      ...Object.values(this.blocks).map((body) => body.parentElement));
    this.speed(null);
    this.session(null, '');
  }

  /** One click: acknowledged after `ack`, listed after `list`, drawn after `draw` (ms each). */
  speed(times) {
    if (!times) {
      this.history = [];
      this.blocks.speed.replaceChildren(h('p', { class: 'hint' }, 'Click a product: it is written to disk, folded into your state, and the next list already knows it.'));
      return;
    }
    const total = times.ack + times.list + times.draw;
    this.history = [...this.history, total].slice(-HISTORY_MAX);
    const parts = [['on disk and folded', times.ack, 'var(--s2)'], ['list answered', times.list, 'var(--s1)'], ['drawn', times.draw, 'var(--s3)']];
    const highest = Math.max(...this.history);
    this.blocks.speed.replaceChildren(
      h('p', { class: 'figure', data: { figure: 'click' } }, h('b', {}, ms(total)), ' ms'),
      bar(parts),
      h('ul', { class: 'legend' }, parts.map(([name, value, tone]) => h('li', { style: { '--tone': tone } }, h('span', {}, name), h('b', {}, ms(value))))),
      h('div', { class: 'spark', 'aria-hidden': 'true' }, this.history.map((value) => h('i', { style: { '--height': `${Math.max(6, (100 * value) / highest)}%` } }))));
  }

  list(reply, known) {
    this.#codes(reply);
    const stages = STAGES.map((name, i) => [name, Number(reply.stages?.[name] ?? 0), `var(--s${i + 1})`]);
    this.blocks.stages.replaceChildren(
      bar(stages),
      h('ul', { class: 'legend stages' }, stages.map(([name, value, tone]) => h('li', { style: { '--tone': tone } }, h('span', {}, name), h('b', {}, ms(value))))),
      h('p', { class: 'hint' }, `${ms(Number(reply.took_ms ?? 0))} ms in the shard, state version ${reply.state_version}, model ${reply.model?.name ?? 'none'}`));
    const sources = count(reply.items.flatMap((entry) => entry.source ?? []));
    this.blocks.sources.replaceChildren(h('ul', { class: 'bars' }, sources.map(([name, n]) => row(sourceName(name), n, reply.items.length, sourceColour(name)))));
    const mix = count(reply.items.map((entry) => department(known.get(entry.id))));
    const before = this.mix;
    this.mix = new Map(mix);
    this.blocks.mix.replaceChildren(h('ul', { class: 'bars' }, mix.map(([name, n]) =>
      row(name, n, reply.items.length, 'var(--accent)', before.size ? n - (before.get(name) ?? 0) : 0))));
  }

  async session(state, key) {
    const body = this.blocks.session;
    if (!state) {
      body.replaceChildren(h('p', { class: 'hint' }, 'Nothing yet. The shard has never heard of this visitor.'));
      this.mix = new Map();
      return;
    }
    const session = state.sessions?.at(-1) ?? { items: [] };
    const latest = [...(session.items ?? [])].reverse().slice(0, STATE_ITEMS_MAX);
    const known = await items(latest.map((entry) => entry.item_id));
    const features = Object.entries(state.features ?? {});
    body.replaceChildren(
      h('p', { class: 'hint mono' }, `${key.slice(0, 16)} · version ${state.state_version}`),
      h('ul', { class: 'counts' }, Object.entries(state.counts ?? {}).map(([type, n]) => h('li', {}, VERBS[type] ?? type, ' ', h('b', {}, String(n))))),
      h('ol', { class: 'trail', data: { trail: '' } }, latest.map((entry) => step(entry, known.get(entry.item_id)))),
      features.length ? h('details', {}, h('summary', {}, `${features.length} features`),
        h('dl', {}, features.map(([name, value]) => [h('dt', {}, name), h('dd', {}, show(value))]))) : '');
  }

  #codes(reply) {
    const target = this.root.querySelector('[data-codes]');
    target.replaceChildren(...(reply.degraded ?? []).map((code) => h('span', { class: 'code', title: 'A step down the ladder of answers' }, code)));
  }
}

const show = (value) => (typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(4) : typeof value === 'object' ? JSON.stringify(value) : String(value));

function step(entry, item) {
  const stayed = entry.dwell_ms ? ` · ${(entry.dwell_ms / 1000).toFixed(1)} s` : '';
  return h('li', { data: { item: entry.item_id, type: entry.event_type } },
    item ? h('img', { src: item.image_url, alt: '', width: 36, height: 36 }) : null,
    h('span', {}, item?.title ?? entry.item_id), h('em', {}, `${VERBS[entry.event_type] ?? entry.event_type}${stayed}`));
}

function count(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

function bar(parts) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  const label = parts.map(([name, value]) => `${name} ${ms(value)} ms`).join(', ');
  return h('div', { class: 'bar', role: 'img', 'aria-label': label }, parts.map(([, value, tone]) => h('i', { style: { '--tone': tone, '--share': `${(100 * value) / total}%` } })));
}

function row(name, n, of, tone, change = 0) {
  return h('li', { style: { '--tone': tone, '--share': `${(100 * n) / of}%` } },
    h('span', {}, name), h('i', {}), h('b', {}, String(n), change ? h('small', { class: change > 0 ? 'up' : 'down' }, change > 0 ? `+${change}` : String(change)) : null));
}
