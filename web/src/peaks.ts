// The best cells of a class as a table, through which the arrow keys step; and what was said of them.

import * as server from "./ask";
import { el, placed, short } from "./dom";
import { told } from "./point";
import type { Peak, Result, Verdict } from "./told";

export interface Chosen {
  go: (peak: Peak) => void;
  say: (peak: Peak, verdict: string | null) => void;
}

const SIGNS: Record<string, string> = { accept: "✓", reject: "✗", relabel: "✎" };
const KEYS: Record<string, string> = { a: "accept", r: "reject" };

export class Peaks {
  private every: Peak[] = [];
  private count = 0;
  private at = -1;
  private asked = 0;
  private verdicts: Verdict[] = [];
  private label = "";

  constructor(
    private readonly panel: HTMLElement,
    private readonly on: Chosen,
  ) {}

  get boxes(): { box: Peak["box"]; kind: string }[] {
    return this.every.slice(0, 500).map((peak) => ({ box: peak.box, kind: this.of(peak)?.verdict ?? "" }));
  }

  async find(result: Result, id: string, plane: number | null, threshold: number | null): Promise<void> {
    const mine = ++this.asked;
    [this.every, this.count, this.at] = [[], 0, -1];
    if (plane === null) {
      this.panel.replaceChildren(el("p", { class: "quiet" }, "Choose a class to list its peaks."));
      return;
    }
    this.label = result.labels[plane] ?? "";
    this.panel.replaceChildren(el("p", { class: "quiet" }, "looking for peaks …"));
    try {
      const { count, peaks } = await server.peaks(id, plane, threshold);
      if (mine !== this.asked) return;
      [this.every, this.count] = [peaks, count];
      this.show();
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
    [this.every, this.count, this.at] = [[], 0, -1];
    this.panel.replaceChildren();
  }

  private of(peak: Peak): Verdict | undefined {
    return this.verdicts.find((each) => each.row === peak.row && each.col === peak.col && each.class === this.label);
  }

  private show(): void {
    const focused = this.panel.contains(document.activeElement);
    const head = el("tr", {}, ["", "score", "x", "y"].map((text) => el("th", { scope: "col" }, text || [el("span", { class: "unseen" }, "verdict")])));
    const rows = this.every.map((peak, i) => {
      const verdict = this.of(peak)?.verdict ?? "";
      const cells = [SIGNS[verdict] ?? "", short(peak.score ?? NaN), placed((peak.box[0] + peak.box[2]) / 2), placed((peak.box[1] + peak.box[3]) / 2)];
      const row = el("tr", { "aria-selected": i === this.at ? "true" : "false", class: verdict }, cells.map((text) => el("td", {}, text)));
      row.addEventListener("click", () => this.step(i));
      return row;
    });
    const table = el("table", { class: "peaks", tabindex: 0, role: "grid", "aria-label": "peaks, best first; arrows step, a accepts, r rejects" }, [el("thead", {}, [head]), el("tbody", {}, rows)]);
    table.addEventListener("keydown", (event) => this.key(event));
    const text = this.count > this.every.length ? `${this.count.toLocaleString("en")} peaks, the best ${this.every.length.toLocaleString("en")} listed` : `${this.count} peaks`;
    this.panel.replaceChildren(el("p", { class: "quiet", role: "status" }, text), el("div", { class: "scroll" }, [table]));
    if (focused) table.focus();
    rows[this.at]?.scrollIntoView({ block: "nearest" });
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const peak = this.every[this.at];
    const verdict = KEYS[event.key];
    if (step) this.step(Math.min(Math.max(this.at + step, 0), this.every.length - 1));
    else if (peak && verdict) this.on.say(peak, this.of(peak)?.verdict === verdict ? null : verdict);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private step(to: number): void {
    const peak = this.every[to];
    if (!peak) return;
    this.at = to;
    this.show();
    this.panel.querySelector("table")?.focus();
    this.on.go(peak);
  }
}
