// One cell: where it lies, its scores, its crop at full resolution, and what the classifier says of that crop alone.

import * as server from "./ask";
import { areaOf } from "./classes";
import { el, placed, plain, short } from "./dom";
import type { Blame, Cell, Region, Result, Verdict } from "./told";

const BARS = 8;

export interface Judged {
  say: (cell: Cell, plane: number, verdict: string | null, label: string, note: string) => void;
  verdict: (row: number, col: number, plane: number) => Verdict | undefined;
}

/** Of what a cell is shown. */
export interface Context {
  id: string;
  result: Result;
  plane: number | null;
  picture: boolean;
  /** The region of which it is the best cell, where that is chosen. */
  region: Region | null;
  /** What another map says there, where one is beside. */
  other: ((cell: Cell) => Promise<Cell["other"]>) | null;
}

export class Point {
  private asked = 0;
  private cell: Cell | null = null;
  private crop: Cell["other"] = null;
  /** Presses the verdict's button; what was typed beside it stays. */
  private press: (() => void) | null = null;

  constructor(
    private readonly panel: HTMLElement,
    private readonly live: HTMLElement,
    private readonly judged: Judged,
  ) {}

  /** Show a cell; of one that is chosen, its crop and what can be asked. */
  async show(context: Context, at: readonly [number, number] | null, chosen: boolean): Promise<void> {
    const mine = ++this.asked;
    const { id, result, plane } = context;
    if (!at) {
      if (!chosen) this.panel.replaceChildren(el("p", { class: "quiet" }, "Point at a cell to see its scores; click it for its crop."));
      return;
    }
    let cell: Cell;
    try {
      cell = await server.cell(id, at[0], at[1]);
      if (context.other) cell = { ...cell, other: await context.other(cell) };
    } catch (error) {
      if (mine === this.asked) this.panel.replaceChildren(el("p", { class: "error" }, `cell ${at[0]}, ${at[1]}: ${told(error)}`));
      return;
    }
    if (mine !== this.asked) return;
    [this.cell, this.crop, this.press] = [cell, cell.other, null];
    const best = winner(cell);
    const shown = plane ?? best;
    const judged = chosen && !result.parts && shown !== null ? this.verdicts(result, cell, shown, context.region) : null;
    const parts: HTMLElement[] = context.region && judged ? [of(result, context.region), judged] : [];
    parts.push(this.head(result, cell), el("div", { class: "bars", id: "bars" }, this.bars(result, cell, plane)));
    if (cell.other) parts.push(el("p", { class: "quiet" }, result.parts ? "second map / first map" : "this map / the one beside"));
    if (chosen && !result.parts) parts.push(...this.more(context, cell, shown));
    if (judged && !context.region) parts.push(judged);
    this.panel.replaceChildren(...parts);
    if (chosen) this.live.textContent = `cell ${cell.row}, ${cell.col}: ${best === null ? "no answer" : `${plain(result.labels[best] ?? "")}, ${short(cell.scores[best] ?? NaN)}`}`;
  }

  /** Verdicts are others now. */
  judge(): void {
    this.press?.();
  }

  private head(result: Result, cell: Cell): HTMLElement {
    const [x, y] = cell.centre;
    const lines = [el("h2", {}, `Cell ${cell.row}, ${cell.col}`), el("p", {}, `pixel ${placed(x)}, ${placed(y)}${world(result, x, y)}`)];
    lines.push(el("p", { class: "quiet" }, `crop ${cell.box.slice(0, 2).map(placed).join(", ")} to ${cell.box.slice(2).map(placed).join(", ")}`));
    if (cell.confirmed) lines.push(el("p", { class: "good" }, "confirmed: its scores are its crop's own"));
    return el("div", { class: "where" }, lines);
  }

  /** The highest scores, and the class that is chosen; beside the crop's own where they were asked for. */
  private bars(result: Result, cell: Cell, plane: number | null): HTMLElement[] {
    const order = [...cell.scores.keys()].filter((i) => cell.scores[i] !== null).sort((a, b) => (cell.scores[b] ?? 0) - (cell.scores[a] ?? 0));
    if (!order.length) return [el("p", { class: "quiet" }, "no answer: left out, missing data, or not done yet")];
    const shown = order.slice(0, BARS);
    if (plane !== null && order.includes(plane) && !shown.includes(plane)) shown.push(plane);
    const top = this.crop?.reduce<number>((best, score, i) => ((score ?? -Infinity) > (this.crop?.[best] ?? -Infinity) ? i : best), 0);
    if (top !== undefined && !shown.includes(top)) shown.push(top);
    const [low, high] = result.parts ? endsOf(cell) : result.range;
    const share = (score: number): string => `${100 * Math.min(Math.max((score - low) / Math.max(high - low, 1e-12), 0), 1)}%`;
    return shown.map((i) => {
      const fill = el("span", { class: "fill" });
      fill.style.width = share(cell.scores[i] ?? low);
      fill.style.background = `rgb(${(result.colours[i] ?? [128, 128, 128]).join(" ")})`;
      const track = el("span", { class: "track" }, [fill]);
      const crop = this.crop?.[i];
      if (crop !== undefined && crop !== null) {
        const tick = el("span", { class: "tick", title: `crop: ${short(crop)}` });
        tick.style.left = share(crop);
        track.append(tick);
      }
      const numbers = crop === undefined || crop === null ? short(cell.scores[i] ?? NaN) : `${short(cell.scores[i] ?? NaN)} / ${short(crop)}`;
      const label = plain(result.labels[i] ?? "");
      return el("div", { class: "bar" }, [el("span", { class: "label", title: label }, label), track, el("span", { class: "number" }, numbers)]);
    });
  }

  private more({ id, result, picture }: Context, cell: Cell, plane: number | null): HTMLElement[] {
    const said = el("div", { class: "said", role: "status" });
    const parts: HTMLElement[] = [];
    if (picture) parts.push(el("img", { class: "crop", src: `api/${id}/crop/${cell.row}/${cell.col}`, alt: `the crop of cell ${cell.row}, ${cell.col}` }));
    const off = result.asks !== "";
    const ask = el("button", { type: "button", id: "ask", disabled: off, title: result.asks }, "Ask the classifier", { click: () => void this.run(said, ask, () => this.ask(result, id, cell, plane)) });
    const why = el("button", { type: "button", id: "why", disabled: off, title: result.asks }, "Why?", { click: () => void this.run(said, why, () => this.why(id, cell)) });
    parts.push(el("div", { class: "row" }, [ask, why]));
    if (off) parts.push(el("p", { class: "quiet" }, `To ask: ${result.asks}`));
    return [...parts, said];
  }

  /** Run the untouched network on exactly this crop. */
  private async ask(result: Result, id: string, cell: Cell, plane: number | null): Promise<HTMLElement[]> {
    const { crop } = await server.ask(id, cell.row, cell.col);
    if (this.cell !== cell) return [];
    this.crop = crop;
    document.getElementById("bars")?.replaceChildren(...this.bars(result, cell, plane));
    const [own, theirs] = [winner(cell), winner({ ...cell, scores: crop })];
    const gaps = cell.scores.map((score, i) => (score === null || crop[i] === null || crop[i] === undefined ? 0 : Math.abs(score - crop[i])));
    const name = (i: number | null): string => (i === null ? "no answer" : plain(result.labels[i] ?? ""));
    const same = own === theirs;
    const text = same ? `The crop alone says ${name(theirs)} too.` : `The crop alone says ${name(theirs)}, the map ${name(own)}.`;
    return [el("p", { class: same ? "good" : "error", id: "answer" }, text), el("p", {}, `Scores (map / crop) differ by ${short(Math.max(...gaps))} at most.`)];
  }

  private async why(id: string, cell: Cell): Promise<HTMLElement[]> {
    const blame: Blame = await server.why(id, cell.row, cell.col);
    const rows = blame.shares.slice(0, 8).map((share) => el("tr", {}, [el("td", {}, plain(share.node)), el("td", {}, share.kind), el("td", { class: "number" }, short(share.alone))]));
    const head = el("tr", {}, ["layer", "how", "alone"].map((text) => el("th", { scope: "col" }, text)));
    const table = rows.length ? [el("table", {}, [el("thead", {}, [head]), el("tbody", {}, rows)])] : [];
    return [el("p", {}, `Map and crop differ by ${short(blame.total)} at this cell: ${plain(blame.advice)}.`), ...table];
  }

  private async run(said: HTMLElement, button: HTMLButtonElement, work: () => Promise<HTMLElement[]>): Promise<void> {
    button.disabled = true;
    said.replaceChildren(el("p", { class: "quiet" }, "running the network …"));
    try {
      said.replaceChildren(...(await work()));
    } catch (error) {
      said.replaceChildren(el("p", { class: "error" }, told(error)));
    }
    button.disabled = false;
  }

  private verdicts(result: Result, cell: Cell, plane: number, region: Region | null): HTMLElement {
    const before = this.judged.verdict(cell.row, cell.col, plane);
    const name = plain(result.labels[plane] ?? "");
    const note = el("input", { type: "text", maxlength: 2000, placeholder: "note", "aria-label": "note" });
    note.value = before?.note ?? "";
    const label = el("input", { type: "text", maxlength: 2000, placeholder: "other class", "aria-label": "other class", list: "labels" });
    label.value = before?.label ?? "";
    const said = (): Verdict | undefined => this.judged.verdict(cell.row, cell.col, plane);
    const say = (verdict: string): void => {
      const [as, text, last] = [verdict === "relabel" ? label.value.trim() : "", note.value, said()];
      // What was said is taken back by saying it again; with another note or class it is something else.
      const again = last?.verdict === verdict && last.label === as && last.note === text;
      if (verdict === "relabel" && !as) label.focus();
      else this.judged.say(cell, plane, again ? null : verdict, as, text);
    };
    const buttons = Object.entries({ accept: "Accept", reject: "Reject", relabel: "Relabel" }).map(([verdict, text]) => [verdict, el("button", { type: "button" }, text, { click: () => say(verdict) })] as const);
    label.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && said()?.label !== label.value.trim()) say("relabel");
    });
    note.addEventListener("keydown", (event) => {
      const last = said();
      if (event.key === "Enter" && last && last.note !== note.value) this.judged.say(cell, plane, last.verdict, last.label, note.value);
    });
    this.press = () => buttons.forEach(([verdict, button]) => button.setAttribute("aria-pressed", String(said()?.verdict === verdict)));
    this.press();
    return el("fieldset", { class: "verdict" }, [
      el("legend", {}, `${region ? "Is this region" : "Is it"} ${name}?`),
      el("div", { class: "row" }, buttons.map(([, button]) => button)),
      label,
      note,
    ]);
  }
}

export const told = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What is told of a region. */
function of({ area, place }: Result, { cells, mean }: Region): HTMLElement {
  const size = area === null ? "" : ` · ${areaOf(area * cells, place.unit)}`;
  return el("div", { class: "where" }, [el("h2", {}, `Region of ${cells.toLocaleString("en")} cells`), el("p", {}, `mean score ${short(mean)}${size}; its best cell below`)]);
}

/** From where to where a cell's scores go, in both maps. */
function endsOf(cell: Cell): [number, number] {
  const every = [...cell.scores, ...(cell.other ?? []), 0].filter((score) => score !== null);
  return [Math.min(...every), Math.max(...every)];
}

function winner(cell: Cell): number | null {
  let best: number | null = null;
  cell.scores.forEach((score, i) => {
    if (score !== null && (best === null || score > (cell.scores[best] ?? -Infinity))) best = i;
  });
  return best;
}

/** Where a pixel lies on the earth or on the slide, of the middle of the pixel. */
function world(result: Result, x: number, y: number): string {
  const { transform, pixel_size: size, unit } = result.place;
  if (transform) {
    const [a, b, c, d, e, f] = transform as [number, number, number, number, number, number];
    const [col, row] = [x + 0.5, y + 0.5];
    return ` · ${(a * col + b * row + c).toFixed(2)}, ${(d * col + e * row + f).toFixed(2)}`;
  }
  if (!size) return "";
  return ` · ${placed((x + 0.5) * size[1])}, ${placed((y + 0.5) * size[0])} ${unit === "micrometer" ? "µm" : unit === "meter" ? "m" : unit}`;
}
