// The best peaks or regions of a class as a table, through which the arrow keys step; and what was said of them.

import * as server from "./ask";
import { areaOf } from "./classes";
import { el, need, placed, short } from "./dom";
import { outlineOf, type Mark } from "./marks";
import { told } from "./point";
import type { Find, Result, Verdict } from "./told";

export type Kind = "peaks" | "regions";

export interface Chosen {
  go: (find: Find) => void;
  say: (find: Find, verdict: string | null, note: string) => void;
  /** Another kind, or another order, is asked for. */
  changed: () => void;
}

const SIGNS: Record<string, string> = { accept: "✓", reject: "✗", relabel: "✎" };
const KEYS: Record<string, string> = { a: "accept", r: "reject" };
const HINTS: Record<Kind, string> = { peaks: "Cells of a class that no neighbour exceeds.", regions: "Cells of a class that hang together and score at least the threshold." };
const MARKED = 500;

export class Finds {
  kind: Kind = "peaks";
  threshold: number | null = null;
  private order = "best";
  private every: Find[] = [];
  private outlines: (Path2D | null)[] = [];
  private count = 0;
  private at = -1;
  private asked = 0;
  private verdicts: Verdict[] = [];
  private label = "";
  private result: Result | null = null;
  private readonly tabs: readonly (readonly [Kind, HTMLButtonElement])[];

  constructor(
    private readonly panel: HTMLElement,
    private readonly on: Chosen,
  ) {
    this.tabs = (["peaks", "regions"] as const).map((kind) => [kind, need(`tab-${kind}`, HTMLButtonElement)] as const);
    for (const [kind, tab] of this.tabs) {
      tab.addEventListener("click", () => this.turn(kind));
      tab.addEventListener("keydown", (event) => {
        if (!/^Arrow(Left|Right)$/.test(event.key)) return;
        event.preventDefault();
        this.turn(this.kind === "peaks" ? "regions" : "peaks");
        this.tabs.find(([each]) => each === this.kind)?.[1].focus();
      });
    }
  }

  /** Show the other tab. */
  turn(kind: Kind): void {
    if (this.kind === kind) return;
    this.kind = kind;
    for (const [each, tab] of this.tabs) {
      tab.setAttribute("aria-selected", each === kind ? "true" : "false");
      tab.tabIndex = each === kind ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${kind}`);
    this.clear();
    this.on.changed();
  }

  get marks(): Mark[] {
    return this.every.slice(0, MARKED).map((find, i) => ({ box: find.box, verdict: this.of(find)?.verdict ?? "", outline: this.outlines[i] ?? null, whole: find.region === null || Boolean(find.region.rings), chosen: find.region !== null && i === this.at }));
  }

  /** Ask for them; the keyboard's focus goes to the table where they were asked for by hand. */
  async find(result: Result, id: string, plane: number | null, threshold: number | null, focuses: boolean): Promise<void> {
    const mine = ++this.asked;
    [this.every, this.outlines, this.count, this.at, this.result] = [[], [], 0, -1, result];
    if (plane === null) {
      this.panel.replaceChildren(el("p", { class: "quiet" }, `Choose a class to list its ${this.kind}.`));
      return;
    }
    this.label = result.labels[plane] ?? "";
    this.panel.replaceChildren(el("p", { class: "quiet", role: "status" }, `looking for ${this.kind} …`));
    try {
      const found = await server.finds(id, this.kind, plane, threshold, this.order);
      if (mine !== this.asked) return;
      [this.every, this.count, this.threshold] = [found.finds, found.count, found.threshold];
      this.outlines = found.finds.map(({ region, box }) => (region?.rings ? outlineOf(result.grid, region.rings, box) : null));
      this.show();
      if (focuses) this.panel.querySelector("table")?.focus();
    } catch (error) {
      if (mine === this.asked) this.panel.replaceChildren(el("p", { class: "error" }, told(error)));
    }
  }

  take(verdicts: Verdict[]): void {
    this.verdicts = verdicts;
    if (this.every.length) this.show();
  }

  clear(): void {
    this.asked += 1;
    [this.every, this.outlines, this.count, this.at] = [[], [], 0, -1];
    this.panel.replaceChildren(el("p", { class: "quiet" }, HINTS[this.kind]));
  }

  private of(find: Find): Verdict | undefined {
    return this.verdicts.find((each) => each.row === find.row && each.col === find.col && each.class === this.label && each.cells === (find.region?.cells ?? null));
  }

  private show(): void {
    const focused = this.panel.contains(document.activeElement);
    const rows = this.every.map((find, i) => {
      const verdict = this.of(find)?.verdict ?? "";
      const row = el("tr", { "aria-selected": i === this.at ? "true" : "false", class: verdict }, [SIGNS[verdict] ?? "", ...this.cells(find)].map((text) => el("td", {}, text)));
      row.addEventListener("click", () => this.step(i));
      return row;
    });
    const head = el("tr", {}, [el("th", { scope: "col" }, [el("span", { class: "unseen" }, "verdict")]), ...this.head()]);
    const table = el("table", { class: "finds", tabindex: 0, role: "grid", "aria-label": `${this.kind}; arrows step, a accepts, r rejects` }, [el("thead", {}, [head]), el("tbody", {}, rows)]);
    table.addEventListener("keydown", (event) => this.key(event));
    this.panel.replaceChildren(el("p", { class: "quiet", role: "status" }, this.said()), el("div", { class: "scroll" }, [table]));
    if (focused) table.focus();
    rows[this.at]?.scrollIntoView({ block: "nearest" });
  }

  private said(): string {
    const count = `${this.count.toLocaleString("en")} ${this.count === 1 ? this.kind.slice(0, -1) : this.kind}${this.threshold === null ? "" : ` of at least ${short(this.threshold)}`}`;
    const first = this.order === "cells" ? "largest" : "best";
    const listed = this.count > this.every.length ? `, the ${first} ${this.every.length.toLocaleString("en")} listed` : "";
    const boxes = this.every.filter(({ region }) => region && !region.rings).length;
    return `${count}${listed}${boxes ? `; of ${boxes.toLocaleString("en")} the box is drawn, since outlines have too many corners` : ""}`;
  }

  private head(): HTMLElement[] {
    if (this.kind === "peaks") return ["score", "x", "y"].map((text) => el("th", { scope: "col" }, text));
    const sorted = ["best", "mean", "cells"].map((order) => {
      const button = el("button", { type: "button" }, order, { click: () => this.sort(order) });
      return el("th", { scope: "col", ...(order === this.order ? { "aria-sort": "descending" } : {}) }, [button]);
    });
    return this.result?.area ? [...sorted, el("th", { scope: "col" }, "area")] : sorted;
  }

  private cells({ score, box, region }: Find): string[] {
    if (!region) return [short(score ?? NaN), placed((box[0] + box[2]) / 2), placed((box[1] + box[3]) / 2)];
    const { area, place } = this.result ?? { area: null, place: null };
    return [short(score ?? NaN), short(region.mean), region.cells.toLocaleString("en"), ...(area ? [areaOf(area * region.cells, place?.unit ?? "")] : [])];
  }

  private sort(order: string): void {
    this.order = order;
    this.on.changed();
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const find = this.every[this.at];
    const verdict = KEYS[event.key];
    if (step) this.step(Math.min(Math.max(this.at + step, 0), this.every.length - 1));
    else if (find && verdict) this.on.say(find, this.of(find)?.verdict === verdict ? null : verdict, this.of(find)?.note ?? "");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private step(to: number): void {
    const find = this.every[to];
    if (!find) return;
    this.at = to;
    this.show();
    this.panel.querySelector("table")?.focus();
    this.on.go(find);
  }
}
