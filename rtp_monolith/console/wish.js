// What a page wishes for a shelf: the request, how many cards of its reply, and the line that says why they are there.
//
// A wish is { shelf, k, request, otherwise?, exclude?, keep?, show?, subject?, words?, why?, told? }: `otherwise` is asked
// where the shard does not declare the surface, `keep` leaves entries out, `why` is a text, or true for where the items
// came from, and `told` is called with what is shown and may answer another `why`.

import { deed, isPersonal, sourceName, tally } from './words.js';

/** A list of one category: its own surface, or the home surface where the shard declares none. */
export function within(path) {
  const filter = { field: 'categories', op: 'contains', value: path };
  return {
    request: { surface: 'category', filter, context: { category: path } },
    otherwise: { surface: 'home', filter, context: { category: path } },
  };
}

/** What changed in a list since the one before, in words; empty when nothing was done. */
export function changes({ first, fresh, up }, cause) {
  if (first || !cause) return '';
  const parts = [fresh ? `${fresh} new here` : '', up ? `${up} moved up` : ''].filter(Boolean);
  return `${parts.length ? parts.join(', ') : 'Nothing moved'} since ${deed(cause)}`;
}

/** Where most of a list came from. */
export function origins(reply) {
  const names = tally(reply.items.flatMap((entry) => (entry.source ?? []).slice(0, 1))).slice(0, 2);
  return names.length ? `Mostly ${names.map(([name]) => sourceName(name).toLowerCase()).join(' and ')}` : '';
}

/** Whether a list knows more of the visitor than that there is one. */
export const isForYou = (reply) => reply.items.some(isPersonal);
