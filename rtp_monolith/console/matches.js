// Which words of a text answer a query, by the shard's own rule: whole words without accents, and what the last word
// begins. It marks what the reader can see; what was found is for the shard to say.

import { h } from './dom.js';

const WORD = /[\p{L}\p{N}\p{M}'’]+/gu;
const LETTERS = { ß: 'ss', æ: 'ae', œ: 'oe', þ: 'th', ø: 'o', đ: 'd', ð: 'd', ł: 'l', ı: 'i' };
const BEGINNING_MIN = 2;
const BEFORE = 3;
const SNIPPET_WORDS = 8;

const fold = (word) => word.normalize('NFKD').toLowerCase().replace(/['’\u0300-\u036f]/g, '').replace(/[ßæœþøđðłı]/g, (letter) => LETTERS[letter]);

/** The words of a query, each once; the last may go on, so it also stands for what it begins. */
export function wordsOf(query) {
  const words = [...new Set([...query.matchAll(WORD)].map(([word]) => fold(word)).filter(Boolean))];
  return words.map((text, i) => ({ text, open: i === words.length - 1 && text.length >= BEGINNING_MIN }));
}

const answers = (word, { text, open }) => word === text || (open && word.startsWith(text));

/** Text with its matching words as `mark` elements, and which of the wanted words were in it. */
export function marked(text, wanted) {
  const parts = [];
  const met = new Set();
  let done = 0;
  for (const found of text.matchAll(WORD)) {
    const hits = wanted.filter((each) => answers(fold(found[0]), each));
    if (!hits.length) continue;
    hits.forEach((each) => met.add(each));
    parts.push(text.slice(done, found.index), h('mark', {}, found[0]));
    done = found.index + found[0].length;
  }
  parts.push(text.slice(done));
  return { parts, met };
}

/** A few words of a longer text around the first match of a wanted word; null when none is in it. */
export function snippet(text, wanted) {
  const words = [...text.matchAll(WORD)];
  const at = words.findIndex(([word]) => wanted.some((each) => answers(fold(word), each)));
  if (at < 0) return null;
  const [from, to] = [Math.max(0, at - BEFORE), Math.min(words.length, at - BEFORE + SNIPPET_WORDS)];
  const end = words[to - 1].index + words[to - 1][0].length;
  const { parts, met } = marked(text.slice(words[from].index, end), wanted);
  return { parts: [from > 0 ? '… ' : '', ...parts, to < words.length ? ' …' : ''], met };
}
