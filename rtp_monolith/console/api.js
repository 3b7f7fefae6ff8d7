// The public API of the shard, as any client calls it. Keeps the items it has seen, and which surfaces there are.

const cards = new Map();
const absent = new Set();
const AT_ONCE = 100;

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function call(method, path, body) {
  const reply = await fetch(path, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const data = await reply.json();
  if (!reply.ok) throw new Refused(reply.status, data?.error?.code, data?.error?.message ?? `${path} answered ${reply.status}`);
  return data;
}

export const sendEvents = (events) => call('POST', '/v1/events', { events, sent_at: Date.now() });
export const visitorState = (key) => call('GET', `/v1/users/${encodeURIComponent(key)}/state`);
export const shop = () => call('GET', '/demo/shop');

/** A list; null when this shard does not declare the surface, which is then not asked for again. */
export async function recommend(request) {
  if (absent.has(request.surface)) return null;
  try {
    return await call('POST', '/v1/recommend', request);
  } catch (error) {
    if (error.code !== 'unknown_surface') throw error;
    absent.add(request.surface);
    return null;
  }
}

/** For a page that is being left: no reply can be awaited. */
export const beacon = (events) =>
  navigator.sendBeacon('/v1/events', new Blob([JSON.stringify({ events, sent_at: Date.now() })], { type: 'text/plain' }));

/** Items by id, fetched together when some are not known yet; ids of deleted items are left out. */
export async function items(ids) {
  const missing = [...new Set(ids)].filter((id) => !cards.has(id));
  const parts = Array.from({ length: Math.ceil(missing.length / AT_ONCE) }, (_, i) => missing.slice(i * AT_ONCE, (i + 1) * AT_ONCE));
  const replies = await Promise.all(parts.map((part) => call('GET', `/demo/cards?ids=${part.map(encodeURIComponent).join(',')}`)));
  for (const item of replies.flat()) cards.set(item.id, presentable(item));
  return new Map(ids.filter((id) => cards.has(id)).map((id) => [id, cards.get(id)]));
}

/** An item without a title goes by its id; a picture of another origin is not fetched, the item's own drawing is shown. */
function presentable(item) {
  const own = /^\/(?!\/)/.test(item.image_url ?? '');
  return { ...item, title: item.title || item.id, image_url: own ? item.image_url : `/demo/pictures/${encodeURIComponent(item.id)}.svg` };
}
