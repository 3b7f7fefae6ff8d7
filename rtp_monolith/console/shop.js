// The shop: shows the page of an address, sends what was done, and asks again with the position that must have been seen.

import { items, recommend, shop, visitorState } from './api.js';
import { address, modified } from './card.js';
import { Cart } from './cart.js';
import { Category } from './category.js';
import { fill, h, image, link } from './dom.js';
import { drawer } from './drawer.js';
import { Engine } from './engine.js';
import { Home } from './home.js';
import { Product } from './product.js';
import { NOBODY, summary } from './session.js';
import { Search } from './search.js';
import { searchBox } from './searchbox.js';
import { Shelf } from './shelf.js';
import { Visitor } from './visitor.js';
import { changes, origins } from './wish.js';
import { shortTitle, slug } from './words.js';

const $ = (selector) => document.querySelector(selector);
const SPARE_K = 12;
const K_MAX = 200;
const RECENT_MAX = 12;
const RETRY_MS = 400;
const BUSY = new Set([429, 503, 504]);

const visitor = new Visitor();
const shelves = [];
const shelf = (name, title, layout) => {
  const made = new Shelf(name, title, layout, visitor, { onopen: (...args) => open(...args), onlike: (item, seen, event) => act('like', item, seen, event) });
  shelves.push(made);
  return made;
};
const engine = new Engine($('#engine'));
const views = {
  home: new Home(shelf),
  product: new Product(shelf, visitor, { onact: (...args) => act(...args) }),
  category: new Category(shelf, { onmore: () => refresh().catch(failed) }),
  search: new Search(shelf),
  cart: new Cart(shelf, { onact: (...args) => act(...args) }),
};
const nothing = h('div', { class: 'view', data: { view: 'nothing' } }, h('header', { class: 'page-head' }, h('h1', { tabindex: '-1' }, 'There is nothing at this address'), link('/', 'Back to the shop')));
$('#main').append(...Object.values(views).map(({ element }) => element), nothing);

let departments = [];
let view = views.home;
let session = NOBODY;
let cause = null;
let turn = 0;

function ask(request) {
  return recommend({ session_id: visitor.session, ...(visitor.position ? { min_position: visitor.position } : {}), ...request });
}

/** The reply of a wish; null where the shard declares no surface for it. */
async function answer({ request, otherwise, k, exclude }, spare = 0) {
  const more = { k: Math.min(k + spare, K_MAX), exclude: [...(request.exclude ?? []), ...(exclude ?? [])] };
  return (await ask({ ...request, ...more })) ?? (otherwise ? ask({ ...otherwise, ...more }) : null);
}

/** As `answer`, undefined when the shard is too busy for it: the shelf then stays as it is. */
async function ifReady(wish) {
  try {
    return await answer(wish, SPARE_K);
  } catch (error) {
    if (!BUSY.has(error.status)) throw error;
    return undefined;
  }
}

/** Draws the reply of a wish without what other shelves of the page show; answers what changed, null for an empty shelf. */
function draw(wish, reply, known, taken = new Set()) {
  const entries = (reply?.items ?? []).filter((entry) => !taken.has(entry.id) && (wish.keep?.(entry, reply.surface) ?? true)).slice(0, wish.show ?? wish.k);
  if (!entries.length) {
    wish.shelf.hide();
    return null;
  }
  const shown = { ...reply, items: entries };
  const why = wish.told?.(shown) ?? wish.why;
  const changed = wish.shelf.show(shown, known, { subject: wish.subject, words: wish.words });
  entries.forEach((entry) => taken.add(entry.id));
  const said = why === true ? origins(shown) : why;
  wish.shelf.why.textContent = [said, changes(changed, cause)].filter(Boolean).join('. ');
  return { ...changed, reply: shown };
}

/** All lists of the page anew; with `times.ack`, the milliseconds until the click was acknowledged, the first is timed. */
async function refresh(times) {
  const mine = (turn += 1);
  const page = view;
  const reading = read();
  reading.catch(() => {}); // Whoever awaits it below hears of it.
  if (page.readsFirst || (visitor.known && session === NOBODY)) {
    const latest = await reading;
    if (mine !== turn) return;
    session = latest;
  }
  const asked = performance.now();
  const wish = page.primary(session);
  const reply = await answer(wish);
  const answered = performance.now();
  const known = await items(reply ? reply.items.map((entry) => entry.id) : []);
  if (mine !== turn) return;
  const taken = new Set();
  const changed = draw(wish, reply, known, taken);
  const drawn = performance.now();
  if (changed) engine.list(changed, known, cause);
  if (times && reply) engine.speed({ ack: times.ack, list: answered - asked, draw: drawn - answered });
  const latest = await reading;
  if (mine !== turn) return;
  session = latest;
  const next = await others(mine, page, reply, taken);
  if (mine !== turn) return;
  if (!changed && next) engine.list(next.changed, next.known, cause);
  if (changed && times) $('#announce').textContent = `${wish.shelf.heading.textContent}: ${wish.shelf.why.textContent}`;
  document.documentElement.dataset.turn = String(mine);
  $('#trouble').hidden = true;
}

/** The session as the shard has it; a visitor who has sent nothing is not known there. */
async function read() {
  const key = visitor.session;
  return visitor.known ? summary(await visitorState(key), key) : NOBODY;
}

/** The other lists of the page; answers the first that has anything. */
async function others(mine, page, first, taken) {
  const ids = [...session.opened, ...session.trail.map((entry) => entry.item_id), ...session.cart.map(({ id }) => id)];
  const mentioned = await items([...ids, ...(first?.items ?? []).map((entry) => entry.id)]);
  if (mine !== turn) return null;
  tell(mentioned);
  const wishes = page.rest(session, mentioned, first, [...taken]);
  const replies = await Promise.all(wishes.map(ifReady));
  const known = await items(replies.flatMap((reply) => (reply?.items ?? []).map((entry) => entry.id)));
  if (mine !== turn) return null;
  const drawn = wishes.map((wish, i) => (replies[i] === undefined ? null : draw(wish, replies[i], known, taken)));
  const recent = page.recents?.(session);
  if (recent) draw({ ...recent, k: RECENT_MAX, why: '' }, { items: recent.ids.map((id) => ({ id })) }, mentioned);
  const changed = drawn.find(Boolean);
  return changed ? { changed, known } : null;
}

/** What of the session is shown outside the lists: the panel, the cart and its count. */
function tell(known) {
  engine.session(session, known);
  $('#cart-count').textContent = String(session.cart.reduce((sum, { quantity }) => sum + quantity, 0));
  views.cart.draw(session, known);
  views.product.update(session);
}

async function act(type, item, seen, event, more) {
  const from = event?.timeStamp ?? performance.now();
  const props = type === 'add_to_cart' && !more ? { price: item.price, quantity: 1 } : more;
  try {
    await visitor.act(type, item?.id, { request: seen?.request, position: seen?.position, props });
    const ack = performance.now() - from;
    cause = { type, name: item ? shortTitle(item) : props?.query ? `“${props.query}”` : '' };
    await refresh({ ack });
  } catch (error) {
    failed(error);
  }
}

/** The click is on its way while the page of the product is drawn: what it shows is known already. */
function open(item, seen, event) {
  views.product.leave();
  const sent = act('click', item, seen, event);
  push(address(item));
  enter(views.product, item, seen);
  scrollTo(0, 0);
  return sent;
}

function push(path) {
  history.replaceState({ y: scrollY }, '');
  history.pushState(null, '', path);
}

function enter(next, ...args) {
  turn += 1;
  views.product.leave();
  view = next;
  const { title, heading } = next.enter(...args);
  reveal(next.element, title, heading);
}

function reveal(element, title, heading) {
  for (const each of $('#main').children) each.hidden = each !== element;
  document.title = title;
  for (const anchor of document.querySelectorAll('#departments a, #open-cart')) {
    const there = anchor.pathname === '/' ? location.pathname === '/' : location.pathname === anchor.pathname || location.pathname.startsWith(`${anchor.pathname}/`);
    if (there) anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  }
  // Whoever is typing goes on typing.
  if (view === views.search && document.activeElement === $('#q')) return;
  heading.focus({ preventScroll: true });
  $('#q').value = view === views.search ? views.search.query : '';
}

/** Shows the page of the present address. `arriving`: by a link from elsewhere, which is a view of the product. */
async function route(arriving = false) {
  const [kind, ...rest] = location.pathname.split('/').slice(1).map(decodeURIComponent);
  if (kind === 'p') {
    const item = (await items([rest[0] ?? ''])).get(rest[0]);
    if (item) {
      enter(views.product, item);
      return arriving ? act('view', item) : refresh();
    }
  } else if (kind === 'c') {
    const found = Category.find(departments, rest);
    if (found) {
      enter(views.category, found);
      return refresh();
    }
  } else if (kind === 'search') {
    enter(views.search, (new URLSearchParams(location.search).get('q') ?? '').trim());
    return refresh();
  } else if (kind === 'cart') {
    enter(views.cart);
    return refresh();
  } else if (kind === '') {
    enter(views.home);
    return refresh();
  }
  views.product.leave();
  reveal(nothing, 'Nothing here · Northlight', nothing.querySelector('h1'));
  document.documentElement.dataset.turn = String((turn += 1));
  return undefined;
}

function go(path) {
  push(path);
  scrollTo(0, 0);
  return route().catch(failed);
}

function failed(error) {
  $('#trouble').textContent = `The shard did not answer: ${error.message}. What you see may be behind.`;
  $('#trouble').hidden = false;
}

/** The words typed so far, as an address: one entry in the history for one search. */
function look(query) {
  const path = `/search${query ? `?q=${encodeURIComponent(query)}` : ''}`;
  if (view !== views.search) return go(path);
  if (query === views.search.query) return undefined;
  history.replaceState(history.state, '', path);
  return route().catch(failed);
}

function stranger() {
  visitor.renew();
  views.product.item = null;
  cause = null;
  session = NOBODY;
  shelves.forEach((each) => each.hide());
  engine.forget();
  tell(new Map());
  go('/');
}

searchBox($('#search'), $('#q'), {
  onlook: look,
  onsearch: (query, event) => act('search', null, undefined, event, { query }),
  anywhere: () => view === views.search,
});
const panel = drawer($('#engine'), $('#open-engine'), $('#scrim'));
document.addEventListener('click', (event) => {
  const anchor = event.target.closest('a[href^="/"]');
  if (!anchor || event.defaultPrevented || modified(event) || anchor.hasAttribute('target')) return;
  event.preventDefault();
  panel.close();
  go(anchor.getAttribute('href'));
});
for (const each of document.querySelectorAll('[data-renew]')) each.addEventListener('click', stranger);

history.scrollRestoration = 'manual';
addEventListener('popstate', async () => {
  const y = history.state?.y ?? 0;
  const shown = route().catch(failed);
  scrollTo(0, y);
  await shown;
  if (Math.abs(scrollY - y) > 1) scrollTo(0, y);
});

// What waits is sent once a second; the panel then shows what the shard made of it.
visitor.onflush = async () => {
  const mine = turn;
  const latest = await read().catch(() => null);
  if (mine !== turn || latest === null || latest.key !== visitor.session) return;
  session = latest;
  tell(await items([...session.trail.map((entry) => entry.item_id), ...session.cart.map(({ id }) => id)]));
};

/** A shard that is still filling its shop refuses lists; the page waits for it. */
async function begin() {
  for (;;) {
    try {
      if (!departments.length) {
        departments = await shop();
        fill($('#departments'), link('/', 'Everything', 'chip'), departments.map((entry) => {
          const anchor = link(`/c/${slug(entry.name)}`, '', 'chip');
          anchor.append(image(`/demo/emblems/${entry.glyph}.svg`, 26), entry.name);
          return anchor;
        }));
      }
      await route(true);
      return;
    } catch (error) {
      failed(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

begin();
