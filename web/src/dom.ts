// Elements, with text that is never markup.

type Child = Node | string;
type Handlers = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean> = {},
  children: Child[] | string = [],
  on: Handlers = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (given === true) made.setAttribute(name, "");
    else if (given !== false) made.setAttribute(name, String(given));
  }
  made.append(...(typeof children === "string" ? [children] : children));
  for (const [name, handler] of Object.entries(on)) made.addEventListener(name, handler as EventListener);
  return made;
}

export function need<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

/** A label without what turns the direction of writing or is not seen. */
export const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, "·");

export const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** A place in pixels or units, never in powers of ten. */
export const placed = (number: number): string => String(Math.round(100 * number) / 100);

export function short(number: number): string {
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return number.toExponential(2);
  if (size >= 1000) return String(Math.round(number));
  return number.toPrecision(4).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}
