// The public API of the shard, as any client calls it, with the time each call took. Keeps the items it has seen.

const cards = new Map();

async function call(method, path, body) {
  const started = performance.now();
  const reply = await fetch(path, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const data = await reply.json();
  if (!reply.ok) throw new Error(data?.error?.message ?? `${path} answered ${reply.status}`);
  return { data, tookMs: performance.now() - started };
}

export const sendEvents = (events) => call('POST', '/v1/events', { events, sent_at: Date.now() });
export const recommend = (request) => call('POST', '/v1/recommend', request);
export const visitorState = (key) => call('GET', `/v1/users/${encodeURIComponent(key)}/state`);
export const shop = () => call('GET', '/demo/shop');

/** For a page that is being left: no reply can be awaited. */
export const beacon = (events) =>
  navigator.sendBeacon('/v1/events', new Blob([JSON.stringify({ events, sent_at: Date.now() })], { type: 'text/plain' }));

/** Items by id, fetched in one request when some are not known yet; ids of deleted items are left out. */
export async function items(ids) {
  const missing = [...new Set(ids)].filter((id) => !cards.has(id));
  if (missing.length) {
    const { data } = await call('GET', `/demo/cards?ids=${missing.map(encodeURIComponent).join(',')}`);
    for (const item of data) cards.set(item.id, item);
  }
  return new Map(ids.filter((id) => cards.has(id)).map((id) => [id, cards.get(id)]));
}
