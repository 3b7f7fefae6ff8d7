// The engine panel: what the shard knows of this session, what a click changed, where items came from, where time went.

import { button, fill, h, image } from './dom.js';
import { chance } from './reason.js';
import { STAGES, deed, degradedWords, department, isPersonal, many, ms, shortTitle, sourceColour, sourceName, tally, verb } from './words.js';

const HISTORY_MAX = 24;
const TRAIL_MAX = 12;
const BASELINE = 'northlight.stranger';

const block = (name, title, note) => h('section', { class: 'block', data: { block: name } }, h('h3', {}, title, note ? h('small', {}, note) : null), h('div', { class: 'body' }));

export class Engine {
  constructor(root) {
    this.history = [];
    this.mix = new Map();
    this.baseline = JSON.parse(sessionStorage.getItem(BASELINE) ?? 'null');
    this.codes = h('span', { class: 'codes', data: { codes: '' } });
    this.surface = h('p', { class: 'hint surface' });
    this.blocks = Object.fromEntries([
      ['speed', block('speed', 'Click to changed list')],
      ['change', block('change', 'What your clicks changed')],
      ['notes', block('notes', 'How this list was made')],
      ['stages', block('stages', 'Inside the shard', 'ms in each stage')],
      ['explore', block('explore', 'Trying out')],
      ['sources', block('sources', 'Where the items came from')],
      ['mix', block('mix', 'What the list is made of')],
      ['session', block('session', 'This session, as the shard sees it')],
    ].map(([name, element]) => [name, element.querySelector('.body')]));
    root.append(
      h('header', {}, h('h2', {}, 'Engine'), this.codes, button('×', 'close', () => {}, { id: 'close-engine', 'aria-label': 'Close the engine panel' })),
      this.surface, ...Object.values(this.blocks).map((body) => body.parentElement),
      button('Start over as somebody new', 'quiet renew', () => {}, { data: { renew: '' } }));
    this.toggle = document.querySelector('#open-engine [data-last]');
    this.speed(null);
    this.#change(null);
    this.blocks.explore.parentElement.hidden = true;
  }

  /** Somebody new sits here. */
  forget() {
    this.mix = new Map();
    this.baseline = null;
    sessionStorage.removeItem(BASELINE);
    this.speed(null);
    this.#change(null);
  }

  /** One click: acknowledged after `ack`, listed after `list`, drawn after `draw` (ms each). */
  speed(times) {
    this.toggle.textContent = times ? `${Math.round(times.ack + times.list + times.draw)} ms` : '';
    if (!times) {
      this.history = [];
      fill(this.blocks.speed, h('p', { class: 'hint' }, 'Open a product: the click is written to disk, folded into your state, and the next list already knows it.'));
      return;
    }
    const total = times.ack + times.list + times.draw;
    this.history = [...this.history, total].slice(-HISTORY_MAX);
    const parts = [['on disk and folded', times.ack, 'var(--s2)'], ['list answered', times.list, 'var(--s1)'], ['drawn', times.draw, 'var(--s3)']];
    const highest = Math.max(...this.history);
    fill(this.blocks.speed,
      h('p', { class: 'figure', data: { figure: 'click' } }, h('b', {}, ms(total)), ' ms'),
      bar(parts),
      h('ul', { class: 'legend' }, parts.map(([name, value, tone]) => h('li', { style: { '--tone': tone } }, h('span', {}, name), h('b', {}, ms(value))))),
      h('div', { class: 'spark', 'aria-hidden': 'true' }, this.history.map((value) => h('i', { style: { '--height': `${Math.max(6, (100 * value) / highest)}%` } }))));
  }

  /** The first list of the page: its reply, what changed in it since the one before, and what the visitor did last. */
  list({ reply, ...changed }, known, cause) {
    this.surface.textContent = `The list of the ${reply.surface} surface, ${many(reply.items.length, 'item')}`;
    if (reply.surface === 'home' && reply.state_version === 0 && !this.baseline) {
      this.baseline = reply.items.map((entry) => entry.id);
      sessionStorage.setItem(BASELINE, JSON.stringify(this.baseline));
    }
    if (cause) this.#change({ reply, changed, cause });
    this.#notes(reply);
    this.#stages(reply);
    this.#explore(reply, known);
    const sources = tally(reply.items.flatMap((entry) => entry.source ?? []));
    fill(this.blocks.sources, h('ul', { class: 'bars' }, sources.map(([name, n]) => row(sourceName(name), n, reply.items.length, sourceColour(name)))));
    const mix = tally(reply.items.map((entry) => department(known.get(entry.id))));
    const before = changed.first ? new Map() : this.mix;
    this.mix = new Map(mix);
    fill(this.blocks.mix, h('ul', { class: 'bars' }, mix.map(([name, n]) => row(name, n, reply.items.length, 'var(--accent)', before.size ? n - (before.get(name) ?? 0) : 0))));
  }

  session({ state, key, trail }, known) {
    const body = this.blocks.session;
    if (!state) {
      fill(body, h('p', { class: 'hint' }, 'Nothing yet. The shard has never heard of this visitor.'));
      return;
    }
    const opened = body.querySelector('details')?.open ?? false;
    const features = Object.entries(state.features ?? {});
    fill(body,
      h('p', { class: 'hint mono' }, `${key.slice(0, 16)} · version ${state.state_version}`),
      h('ul', { class: 'counts' }, Object.entries(state.counts ?? {}).map(([type, n]) => h('li', {}, verb(type), ' ', h('b', {}, String(n))))),
      h('ol', { class: 'trail', data: { trail: '' } }, trail.slice(0, TRAIL_MAX).map((entry) => step(entry, known.get(entry.item_id)))),
      features.length ? h('details', { open: opened }, h('summary', {}, `${features.length} features`),
        h('dl', {}, features.map(([name, value]) => [h('dt', {}, name), h('dd', {}, show(value))]))) : null);
  }

  #change(last) {
    if (!last) {
      fill(this.blocks.change, h('p', { class: 'hint' }, 'Nothing yet: this is what every stranger sees.'));
      return;
    }
    const { reply, changed, cause } = last;
    const n = reply.items.length;
    const personal = reply.items.filter(isPersonal).length;
    const shared = this.baseline && reply.surface === 'home' ? reply.items.filter((entry) => this.baseline.includes(entry.id)).length : null;
    const moves = [[changed.fresh, 'new here'], [changed.up, 'moved up'], [changed.gone, 'left']];
    fill(this.blocks.change,
      h('p', { class: 'cause' }, `After ${deed(cause)}`),
      changed.first ? null : h('ul', { class: 'moves' }, moves.map(([count, name]) => h('li', {}, h('b', {}, String(count)), ` ${name}`))),
      h('ul', { class: 'bars' }, row('Because of you', personal, n, 'var(--s1)')),
      h('p', { class: 'hint' }, `${personal} of ${n} were found through ${reply.surface === 'home' ? '' : 'this page and '}what you did${shared === null ? '.' : `; ${shared} of ${n} stood in the list you got as a stranger.`}`));
  }

  #notes(reply) {
    const model = reply.model && reply.model.name !== 'none' ? reply.model : null;
    const codes = reply.degraded ?? [];
    fill(this.codes, codes.map((code) => h('span', { class: 'code' }, code)));
    fill(this.blocks.notes,
      h('p', { class: 'model', data: { model: model ? `${model.name} ${model.version}` : '' } },
        model ? [h('span', {}, 'Ranked by '), h('b', {}, model.name), h('span', {}, ` version ${model.version}`)] : h('span', {}, 'No model')),
      codes.length ? h('ul', { class: 'notes' }, codes.map((code) => h('li', {}, degradedWords(code)))) : h('p', { class: 'hint' }, 'Every stage answered in its full form.'));
  }

  #stages(reply) {
    const stages = STAGES.map((name, i) => [name, Number(reply.stages?.[name] ?? 0), `var(--s${i + 1})`]);
    fill(this.blocks.stages,
      bar(stages),
      h('ul', { class: 'legend stages' }, stages.map(([name, value, tone]) => h('li', { style: { '--tone': tone } }, h('span', {}, name), h('b', {}, ms(value))))),
      h('p', { class: 'hint' }, `${ms(Number(reply.took_ms ?? 0))} ms in all, from ${many(reply.state_version, 'event')} of yours`));
  }

  #explore(reply, known) {
    const tried = reply.items.map((entry, place) => ({ entry, place })).filter(({ entry }) => entry.propensity !== undefined);
    this.blocks.explore.parentElement.hidden = tried.length === 0;
    fill(this.blocks.explore, tried.map(({ entry, place }) => {
      const item = known.get(entry.id);
      return h('div', { class: 'tried', data: { propensity: String(entry.propensity) } },
        item ? image(item.image_url, 36) : null,
        h('p', {}, h('b', {}, item ? shortTitle(item) : entry.id), h('span', {}, `place ${place + 1}${entry.slot ? `, slot ${entry.slot}` : ''}, propensity ${Number(entry.propensity.toPrecision(3))}`)),
        h('p', { class: 'hint' }, chance(entry)));
    }));
  }
}

const show = (value) => (typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(4) : typeof value === 'object' ? JSON.stringify(value) : String(value));

function step(entry, item) {
  const stayed = entry.dwell_ms ? ` · ${(entry.dwell_ms / 1000).toFixed(1)} s` : '';
  return h('li', { data: { item: entry.item_id, type: entry.event_type } },
    item ? image(item.image_url, 36) : null,
    h('span', {}, item ? shortTitle(item) : entry.item_id), h('em', {}, `${verb(entry.event_type)}${stayed}`));
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
