// Where the engine panel is: a column that can be folded away, or a drawer over the page where there is no room for one.

const NARROW = matchMedia('(max-width: 1180px)');

/** `toggle` opens and closes `aside`; `scrim` covers the page behind an open drawer. */
export function drawer(aside, toggle, scrim) {
  let folded = false;
  let over = false;
  const behind = document.querySelectorAll('body > header, body > nav, #main, body > footer');
  const place = () => {
    over = over && NARROW.matches;
    document.body.classList.toggle('engine-open', over);
    document.body.classList.toggle('engine-folded', folded);
    scrim.hidden = !over;
    for (const each of behind) each.inert = over;
    toggle.setAttribute('aria-expanded', String(NARROW.matches ? over : !folded));
  };
  const close = (back = false) => {
    if (!over) return;
    over = false;
    place();
    if (back) toggle.focus();
  };
  const closer = aside.querySelector('.close');
  toggle.addEventListener('click', () => {
    if (NARROW.matches) over = true;
    else folded = !folded;
    place();
    if (over) closer.focus();
  });
  closer.addEventListener('click', () => close(true));
  scrim.addEventListener('click', () => close(true));
  addEventListener('keydown', (event) => event.key === 'Escape' && close(true));
  NARROW.addEventListener('change', place);
  place();
  return { close };
}
