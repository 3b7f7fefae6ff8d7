// The one way elements are made: text goes in as text, never as markup.

/** An element: attributes by name, `data` as dataset, `style` by property, `on` as listeners; empty children are left out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'style') for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === 'on') for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...present(children));
  return element;
}

const present = (children) => children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== '');

/** Puts these children in the place of all that an element has. */
export const fill = (element, ...children) => element.replaceChildren(...present(children));

export const image = (src, size, props = {}) => h('img', { src, alt: '', width: size, height: size, decoding: 'async', ...props });
export const button = (text, kind, onclick, props = {}) => h('button', { class: kind, type: 'button', on: { click: onclick }, ...props }, text);
export const link = (href, text, kind, props = {}) => h('a', { href, class: kind, ...props }, text);
export const calm = matchMedia('(prefers-reduced-motion: reduce)');
