// The search box: results come while typing, and what was finally searched for is told to the shard once.

const TYPING_MS = 160;

/** `onlook` shows results, `onsearch` is called for a finished query, `anywhere` says whether results are in sight. */
export function searchBox(form, input, { onlook, onsearch, anywhere }) {
  let waiting = 0;
  let told = '';
  input.addEventListener('input', () => {
    clearTimeout(waiting);
    const query = input.value.trim();
    if (query || anywhere()) waiting = setTimeout(() => onlook(query), TYPING_MS);
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    const query = input.value.trim();
    input.blur();
    await onlook(query);
    if (!query || query === told) return;
    told = query;
    await onsearch(query, event);
  });
  addEventListener('keydown', (event) => {
    const elsewhere = event.key === '/' && !event.target.closest('input, textarea, select, [contenteditable]');
    if (!elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });
}
