// The list of classes, with what each wins, and a field to find one.

import { el, percent, plain, short } from "./dom";
import { hasWinners, type Result } from "./told";

const SHOWN = 300;

export class Classes {
  private won: number[] | null = null;
  private result: Result | null = null;
  private chosen: number | null = null;

  constructor(
    private readonly list: HTMLElement,
    private readonly more: HTMLElement,
    private readonly search: HTMLInputElement,
    private readonly choose: (plane: number | null) => void,
  ) {
    search.addEventListener("input", () => this.show());
    list.addEventListener("keydown", (event) => this.key(event));
  }

  take(result: Result): void {
    this.result = result;
    this.won = null;
    this.show();
  }

  areas(cells: number[]): void {
    this.won = cells;
    this.show();
  }

  mark(plane: number | null): void {
    this.chosen = plane;
    this.show();
  }

  /** The class before or behind the one that is chosen, winners before the first. */
  beside(step: number): number | null {
    const order = [...(this.result && !hasWinners(this.result) ? [] : [null]), ...this.order()];
    const at = order.indexOf(this.chosen);
    return order[Math.min(Math.max(at + step, 0), order.length - 1)] ?? null;
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.choose(this.beside(step));
  }

  /** Those that win most first, as far as that is known, of those that are searched for. */
  order(): number[] {
    const { result, won } = this;
    if (!result || (result.parts && result.winnersOnly)) return [];
    const words = this.search.value.trim().toLowerCase();
    const every = [...result.labels.keys()].filter((plane) => (result.labels[plane] ?? "").toLowerCase().includes(words));
    return won ? every.sort((a, b) => (won[b] ?? 0) - (won[a] ?? 0) || a - b) : every;
  }

  private show(): void {
    const { result } = this;
    if (!result) return;
    const focused = this.list.contains(document.activeElement);
    const found = this.order();
    const total = Math.max(1, (this.won ?? []).reduce((sum, cells) => sum + cells, 0));
    const rows = hasWinners(result) ? [this.row(null, result.parts ? "Where winners part" : "Winner of each cell", "", null)] : [];
    for (const plane of found.slice(0, SHOWN)) rows.push(this.row(plane, named(result, plane), this.share(result, plane, total), result.colours[plane] ?? null));
    if (!rows.some((row) => row.tabIndex === 0) && rows[0]) rows[0].tabIndex = 0;
    this.list.replaceChildren(...rows);
    this.more.textContent = found.length > SHOWN ? `and ${(found.length - SHOWN).toLocaleString("en")} more: type a part of a name` : "";
    if (!focused) return;
    const chosen = this.list.querySelector<HTMLElement>("[tabindex='0']");
    chosen?.focus();
    chosen?.scrollIntoView({ block: "nearest" });
  }

  private share(result: Result, plane: number, total: number): string {
    const cells = this.won?.[plane];
    if (cells === undefined) return "";
    const area = result.area === null ? "" : ` · ${areaOf(cells * result.area, result.place.unit)}`;
    return `${percent(cells / total)}${area}`;
  }

  private row(plane: number | null, label: string, share: string, colour: readonly number[] | null): HTMLElement {
    const swatch = el("span", { class: colour ? "swatch" : "swatch all", "aria-hidden": "true" });
    if (colour) swatch.style.background = `rgb(${colour.join(" ")})`;
    const chosen = plane === this.chosen;
    const texts = [swatch, el("span", { class: "label", title: label }, label), el("span", { class: "share" }, share)];
    return el("button", { type: "button", role: "option", "aria-selected": chosen ? "true" : "false", tabindex: chosen ? 0 : -1, class: "class" }, texts, { click: () => this.choose(plane) });
  }
}

export function areaOf(area: number, unit: string): string {
  const [small, large] = unit === "micrometer" ? ["µm²", "mm²"] : unit === "meter" ? ["m²", "km²"] : ["", ""];
  return area >= 1e5 && large ? `${short(area / 1e6)} ${large}` : `${short(area)} ${small}`;
}

const named = (result: Result, plane: number): string => plain(result.labels[plane] ?? "") + (result.background.includes(plane) ? " (background)" : "");
