// The little sheet that says why one item stands in its list. There is one of it, beside the card that was asked about.

import { fill, h } from './dom.js';
import { sourceColour, sourceName, sourceReason } from './words.js';

const MARGIN = 10;

const sheet = h('div', { class: 'reason', id: 'reason', popover: 'auto', role: 'dialog', 'aria-labelledby': 'reason-title' });
document.body.append(sheet);
addEventListener('scroll', () => sheet.matches(':popover-open') && sheet.hidePopover(), { passive: true });

/** Opens the sheet at `anchor` for an entry of a reply. */
export function reason(anchor, item, { entry, place, of }) {
  const sources = entry.source ?? [];
  fill(sheet,
    h('h3', { id: 'reason-title' }, 'Why this is here'),
    h('ul', {}, sources.map((name) => h('li', { style: { '--tone': sourceColour(name) } }, h('b', {}, sourceName(name)), h('span', {}, sourceReason(name))))),
    entry.propensity === undefined ? null : h('p', {}, chance(entry)),
    h('p', { class: 'hint' }, `Place ${place + 1} of ${of}, score ${Number(entry.score).toPrecision(3)}`));
  sheet.showPopover({ source: anchor });
  const [from, box] = [anchor.getBoundingClientRect(), sheet.getBoundingClientRect()];
  const left = Math.min(Math.max(MARGIN, from.right - box.width), innerWidth - box.width - MARGIN);
  const above = from.top - box.height - MARGIN;
  sheet.style.setProperty('left', `${left}px`);
  sheet.style.setProperty('top', `${above > MARGIN ? above : Math.min(from.bottom + MARGIN, innerHeight - box.height - MARGIN)}px`);
}

/** What the propensity of an explored item means. */
export function chance(entry) {
  const share = (100 * entry.propensity).toPrecision(2);
  return `This place tries out new items. The chance that it would show this one was ${Number(share)} %, and the log keeps that figure.`;
}
