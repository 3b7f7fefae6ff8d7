// Who is looking, and what they did: the session's key, its events, and the position the next list must have seen.

import { beacon, sendEvents } from './api.js';

const KEY = 'northlight.session';
const SEEN_AFTER_MS = 500;
const FLUSH_MS = 1000;

function token() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Visitor {
  constructor() {
    this.queue = [];
    this.position = null;
    this.known = false;
    this.onflush = () => {};
    // Told before what waits is sent, so that the last look at a product goes with it.
    this.onsight = () => {};
    this.session = sessionStorage.getItem(KEY);
    if (this.session) this.known = true;
    else this.renew();
    this.timers = new Map();
    this.observer = new IntersectionObserver((entries) => this.#look(entries), { threshold: 0.6 });
    setInterval(() => this.flush(), FLUSH_MS);
    document.addEventListener('visibilitychange', () => {
      this.onsight(document.visibilityState === 'visible');
      if (document.visibilityState === 'hidden' && this.queue.length) beacon(this.queue.splice(0));
    });
  }

  /** Somebody new: nothing of what was done before is known about them. */
  renew() {
    this.session = `visitor-${token()}`;
    this.position = null;
    this.known = false;
    this.queue = [];
    sessionStorage.setItem(KEY, this.session);
  }

  event(type, item, { request, position, props } = {}) {
    const event = { event_id: token(), session_id: this.session, event_type: type, ts_ms: Date.now(), schema_version: 2 };
    if (item) event.item_id = item;
    if (request) event.request_id = request;
    if (Number.isInteger(position)) event.position = position;
    if (props) event.props = props;
    return event;
  }

  /** For what changes a list: sent at once, with all that waits; answers when it is on disk and folded. */
  async act(...args) {
    const waiting = this.queue.splice(0);
    try {
      this.#acknowledged(await sendEvents([...waiting, this.event(...args)]));
    } catch (error) {
      this.queue.unshift(...waiting);
      throw error;
    }
  }

  later(...args) {
    this.queue.push(this.event(...args));
  }

  async flush() {
    if (!this.queue.length) return;
    const waiting = this.queue.splice(0);
    try {
      this.#acknowledged(await sendEvents(waiting));
      this.onflush();
    } catch {
      // Event ids make sending again safe.
      this.queue.unshift(...waiting);
    }
  }

  #acknowledged(data) {
    this.position = data.position;
    this.known = this.known || data.accepted > 0;
  }

  /** An impression is a card that was mostly in sight for half a second, once for each list that showed it. */
  watch(card, item, request, position) {
    card.seen = { item, request, position };
    this.observer.unobserve(card);
    this.observer.observe(card);
  }

  unwatch(card) {
    this.observer.unobserve(card);
    clearTimeout(this.timers.get(card));
    this.timers.delete(card);
  }

  #look(entries) {
    for (const { target, isIntersecting } of entries) {
      clearTimeout(this.timers.get(target));
      this.timers.delete(target);
      if (!isIntersecting) continue;
      this.timers.set(target, setTimeout(() => {
        const { item, request, position } = target.seen;
        this.observer.unobserve(target);
        this.later('impression', item, { request, position });
      }, SEEN_AFTER_MS));
    }
  }
}
