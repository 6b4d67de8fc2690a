// The list of classes, with what each wins, and a field to find one.

import { el, percent, plain, short } from "./dom";
import type { Result } from "./told";

const SHOWN = 300;

export class Classes {
  private won: number[] | null = null;

  constructor(
    private readonly list: HTMLElement,
    private readonly search: HTMLInputElement,
    private result: Result,
    private chosen: number | null,
    private readonly choose: (plane: number | null) => void,
  ) {
    search.addEventListener("input", () => this.show());
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
    const order = [null, ...this.order()];
    const at = order.indexOf(this.chosen);
    return order[Math.min(Math.max(at + step, 0), order.length - 1)] ?? null;
  }

  /** Those that win most first, as far as that is known. */
  private order(): number[] {
    const every = [...this.result.labels.keys()];
    const won = this.won;
    return won ? every.sort((a, b) => (won[b] ?? 0) - (won[a] ?? 0) || a - b) : every;
  }

  private show(): void {
    const words = this.search.value.trim().toLowerCase();
    const found = this.order().filter((plane) => (this.result.labels[plane] ?? "").toLowerCase().includes(words));
    const total = Math.max(1, (this.won ?? []).reduce((sum, cells) => sum + cells, 0));
    const rows = [this.row(null, "Winner of each cell", "", null)];
    for (const plane of found.slice(0, SHOWN)) rows.push(this.row(plane, plain(this.result.labels[plane] ?? ""), this.share(plane, total), this.result.colours[plane] ?? null));
    if (found.length > SHOWN) rows.push(el("p", { class: "quiet" }, `and ${(found.length - SHOWN).toLocaleString("en")} more: type a part of a name`));
    this.list.replaceChildren(...rows);
  }

  private share(plane: number, total: number): string {
    const cells = this.won?.[plane];
    if (cells === undefined) return "";
    const area = this.result.area === null ? "" : ` · ${areaOf(cells * this.result.area, this.result.place.unit)}`;
    return `${percent(cells / total)}${area}`;
  }

  private row(plane: number | null, label: string, share: string, colour: readonly number[] | null): HTMLElement {
    const swatch = el("span", { class: colour ? "swatch" : "swatch all", "aria-hidden": "true" });
    if (colour) swatch.style.background = `rgb(${colour.join(" ")})`;
    const chosen = plane === this.chosen;
    const texts = [swatch, el("span", { class: "label", title: label }, label), el("span", { class: "share" }, share)];
    return el("button", { type: "button", role: "option", "aria-selected": chosen ? "true" : "false", class: "class" }, texts, { click: () => this.choose(plane) });
  }
}

export function areaOf(area: number, unit: string): string {
  const [small, large] = unit === "micrometer" ? ["µm²", "mm²"] : unit === "meter" ? ["m²", "km²"] : ["", ""];
  return area >= 1e5 && large ? `${short(area / 1e6)} ${large}` : `${short(area)} ${small}`;
}
