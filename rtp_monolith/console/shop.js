// The page: asks for the shelves, sends what was done, and asks again with the position that must have been seen.

import { items, recommend, shop, visitorState } from './api.js';
import { Cart } from './cart.js';
import { Engine } from './engine.js';
import { Product } from './product.js';
import { Shelf } from './shelf.js';
import { Visitor } from './visitor.js';
import { h } from './words.js';

const $ = (selector) => document.querySelector(selector);
const HOME_K = 12;
const ROW_K = 10;
const SMALL_PRICE = 30;

const visitor = new Visitor();
const engine = new Engine($('#engine'));
const shelves = Object.fromEntries(
  [...document.querySelectorAll('[data-shelf]')].map((section) => [
    section.dataset.shelf,
    new Shelf(section, visitor, { onopen: (...args) => open(...args), onlike: (item, seen) => act('like', item, seen) }),
  ]));
const product = new Product($('#product'), visitor, { onact: (...args) => act(...args) });
const cart = new Cart($('#cart'), $('#cart-count'), { onact: (...args) => act(...args), onbuy: (props, event) => act('purchase', null, undefined, event, props) });

let about = null;
let only = [];
let turn = 0;

const within = (paths) => (paths.length ? { or: paths.map((value) => ({ field: 'categories', op: 'contains', value })) } : undefined);
const every = (...filters) => {
  const given = filters.filter(Boolean);
  return given.length > 1 ? { and: given } : given[0];
};

function ask(request) {
  return recommend({ session_id: visitor.session, ...(visitor.position ? { min_position: visitor.position } : {}), ...request });
}

/** All shelves anew; with `times.ack`, the milliseconds until the click was acknowledged, the first list is timed. */
async function refresh(times) {
  const mine = (turn += 1);
  const asked = performance.now();
  const { data } = await ask({ surface: 'home', k: HOME_K, filter: within(only) });
  const answered = performance.now();
  const known = await items(data.items.map((entry) => entry.id));
  if (mine !== turn) return;
  const changed = shelves.home.show(data, known);
  const drawn = performance.now();
  engine.list(data, known);
  if (times) {
    engine.speed({ ack: times.ack, list: answered - asked, draw: drawn - answered });
    $('#announce').textContent = `List changed: ${changed.fresh} new, ${changed.moved} moved, acknowledged in ${Math.round(times.ack)} milliseconds.`;
  }
  await others(mine);
  if (mine !== turn) return;
  await sync(mine);
  document.documentElement.dataset.turn = String(mine);
}

/** The smaller shelves do not repeat what the first one shows. */
async function others(mine) {
  const exclude = shelves.home.ids;
  const small = { field: 'price', op: 'lt', value: SMALL_PRICE };
  const wanted = [[shelves.small, { surface: 'home', k: ROW_K, exclude, filter: every(small, within(only)) }]];
  if (about) wanted.push([shelves.product, { surface: 'product', k: ROW_K, exclude, context: { item_id: about.id } }]);
  const replies = await Promise.all(wanted.map(([, request]) => ask(request)));
  const known = await items(replies.flatMap(({ data }) => data.items.map((entry) => entry.id)));
  if (mine !== turn) return;
  shelves.product.section.hidden = about === null;
  if (about) shelves.product.section.querySelector('[data-about]').textContent = about.title.split(',')[0];
  replies.forEach(({ data }, i) => {
    wanted[i][0].show(data, known);
    wanted[i][0].section.toggleAttribute('data-empty', data.items.length === 0);
  });
}

/** The session and the cart, read back from the shard; a visitor who has sent nothing is not known there. */
async function sync(mine) {
  if (!visitor.known) return;
  const key = visitor.session;
  const { data } = await visitorState(key);
  if (mine !== turn || key !== visitor.session) return;
  await engine.session(data, key);
  await cart.update(data);
}

async function act(type, item, seen, event, props) {
  const from = event?.timeStamp ?? performance.now();
  const extra = type === 'add_to_cart' ? { price: item.price, quantity: 1 } : props;
  try {
    await visitor.act(type, item?.id, { request: seen?.request, position: seen?.position, props: extra });
    shelves.home.why.textContent = 'Ranked again after everything you did';
    await refresh({ ack: performance.now() - from });
  } catch (error) {
    failed(error);
  }
}

function open(item, seen, event) {
  product.open(item, seen);
  about = item;
  return act('click', item, seen, event);
}

function failed(error) {
  $('#announce').textContent = `The shard did not answer: ${error.message}`;
  document.documentElement.dataset.failed = error.message;
}

function chip(name, glyph, chosen, onclick) {
  return h('button', { class: 'chip', type: 'button', 'aria-pressed': String(chosen), on: { click: onclick } },
    glyph ? h('img', { src: `/demo/emblems/${glyph}.svg`, alt: '', width: 26, height: 26 }) : null, name);
}

function chips(departments, chosen = null, category = null) {
  const choose = (department, path) => {
    only = path ? [path] : department ? department.categories.map((entry) => entry.path) : [];
    chips(departments, department, path);
    refresh().catch(failed);
  };
  $('#departments').replaceChildren(chip('Everything', null, !chosen, () => choose(null)),
    ...departments.map((entry) => chip(entry.name, entry.glyph, entry === chosen, () => choose(entry))));
  $('#categories').hidden = !chosen;
  $('#categories').replaceChildren(...(chosen?.categories ?? []).map((entry) =>
    chip(entry.name, entry.glyph, entry.path === category, () => choose(chosen, entry.path === category ? undefined : entry.path))));
}

function drawer(shown) {
  document.body.classList.toggle('engine-open', shown);
  $('#scrim').hidden = !shown;
  $('#open-engine').setAttribute('aria-expanded', String(shown));
  (shown ? $('#close-engine') : $('#open-engine')).focus();
}

$('#open-engine').addEventListener('click', () => drawer(!document.body.classList.contains('engine-open')));
$('#close-engine').addEventListener('click', () => drawer(false));
$('#scrim').addEventListener('click', () => drawer(false));
$('#open-cart').addEventListener('click', () => cart.open());
$('#new-session').addEventListener('click', () => {
  product.close();
  visitor.renew();
  about = null;
  Object.values(shelves).forEach((shelf) => shelf.clear());
  shelves.product.section.hidden = true;
  shelves.home.why.textContent = 'Popular in the shop, until you click something';
  engine.speed(null);
  engine.session(null, '');
  cart.update(null);
  refresh().catch(failed);
});
visitor.onflush = () => sync(turn).catch(failed);

/** A shard that is still filling its shop refuses lists; the page waits for it. */
async function begin() {
  for (;;) {
    try {
      await refresh();
      return;
    } catch (error) {
      failed(error);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
  }
}

shop().then(({ data }) => chips(data)).catch(failed);
begin();
