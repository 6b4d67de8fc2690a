// The page: what is shown, what was chosen, and what happens when that changes.

import * as server from "./ask";
import { CellLayer } from "./cells";
import { Classes } from "./classes";
import { el, need, plain, short } from "./dom";
import { centreOf } from "./geometry";
import { ImageLayer } from "./image";
import * as link from "./link";
import { listen } from "./keys";
import { Peaks } from "./peaks";
import { Point, told } from "./point";
import { Run } from "./run";
import { Stage } from "./stage";
import type { About, Cell, Peak, Result, State, Verdict } from "./told";

const STEPS = 1000; // of the threshold's slider
const SETTLES = 250; // ms between two looks whether all that is seen has come
const POINTED = 70; // ms that a pointer rests before the server is asked for a cell

class Page {
  private readonly stage: Stage;
  private readonly classes: Classes;
  private readonly point: Point;
  private readonly peaks: Peaks;
  private number = 0;
  private plane: number | null = null;
  private threshold = 0;
  private scale = "viridis";
  private verdicts: Verdict[] = [];
  private run: Run | null = null;
  private resting = 0;
  private linking = 0;
  private listed = false;

  constructor(private readonly about: About) {
    this.stage = new Stage(need("canvas", HTMLCanvasElement), need("overview", HTMLCanvasElement), {
      moved: () => this.moved(),
      pointed: (cell) => this.pointed(cell),
      chosen: (cell) => this.choose(cell),
      said: (text) => {
        const said = need("said", HTMLElement);
        if (said.textContent !== text) said.textContent = text;
      },
    });
    if (about.image) this.stage.image = new ImageLayer(about.image, () => this.stage.draw());
    this.classes = new Classes(need("classes", HTMLElement), need("search", HTMLInputElement), this.result, null, (plane) => this.take(plane));
    this.point = new Point(need("point", HTMLElement), need("live", HTMLElement), {
      say: (cell, plane, verdict, label, note) => void this.say({ row: cell.row, col: cell.col, class: plane, verdict, label, note }, cell),
      verdict: (row, col, plane) => this.verdicts.find((each) => each.row === row && each.col === col && each.class === this.result.labels[plane]),
    });
    this.peaks = new Peaks(need("peaks", HTMLElement), { go: (peak) => this.go(peak), say: (peak, verdict) => void this.say({ row: peak.row, col: peak.col, class: this.plane, verdict }) });
    this.controls();
    const from = link.read(location.hash);
    this.show(from && from.result < about.results.length ? from.result : 0, false);
    if (from) this.follow(from);
    else this.stage.fit();
    window.addEventListener("hashchange", () => {
      const to = link.read(location.hash);
      if (to && location.hash !== this.hash()) this.follow(to);
    });
  }

  private get result(): Result {
    const found = this.about.results[this.number];
    if (!found) throw new Error("no map was given");
    return found;
  }

  /** Show one of the results, where the image is looked at already, by the class and threshold that were looked at where it has them. */
  private show(number: number, keep = true): void {
    const [before, label] = [this.result, this.plane === null ? null : this.result.labels[this.plane]];
    this.number = number;
    const { result } = this;
    const plane = label === null ? -1 : result.labels.findIndex((each) => each === label);
    this.plane = plane >= 0 ? plane : result.labels.length === 1 ? 0 : null;
    if (!keep || result.kind !== before.kind) this.threshold = result.range[0];
    this.stage.cells = new CellLayer(result, number, this.choice(), () => this.stage.draw());
    [this.stage.failed, this.stage.chosen, this.stage.marks] = [result.failed, null, []];
    this.listed = false;
    this.peaks.clear();
    document.title = `${result.name} · fullconv`;
    need("title", HTMLElement).textContent = plain(result.name);
    need("result", HTMLSelectElement).value = String(number);
    need("csv", HTMLAnchorElement).href = `/api/${number}/verdicts.csv`;
    need("labels", HTMLElement).replaceChildren(...result.labels.slice(0, 1000).map((label) => el("option", { value: label })));
    const lines = [result.statement, result.exactness, `${result.grid.rows.toLocaleString("en")} × ${result.grid.cols.toLocaleString("en")} cells, ${result.kind || "scores"} by ${result.by}`];
    need("about", HTMLElement).replaceChildren(...lines.filter((line) => line).map((line) => el("p", {}, plain(line ?? ""))));
    this.classes.take(result);
    this.run?.stop();
    this.run = new Run(number, (state, text) => this.progressed(number, state, text));
    if (result.finished) setTimeout(() => number === this.number && this.count(number), SETTLES);
    void server.verdicts(number).then(({ verdicts }) => this.judged(verdicts), (error: unknown) => this.warn(told(error)));
    void this.point.show(result, number, null, false, this.plane, false);
    this.chose();
    if (keep) this.moved();
  }

  /** Ask for the areas, once what is seen is there: the whole map is read for them. */
  private count(number: number): void {
    if (this.stage.busy) {
      setTimeout(() => number === this.number && this.count(number), SETTLES);
      return;
    }
    void server.areas(number).then(({ cells }) => cells && number === this.number && this.classes.areas(cells), (error: unknown) => this.warn(told(error)));
  }

  private choice(): CellLayer["choice"] {
    const [low, high] = this.result.range;
    return { plane: this.plane, threshold: this.threshold <= low ? -Infinity : this.threshold, low, high, scale: this.about.scales[this.scale] ?? [] };
  }

  /** Show a class, or winners. */
  private take(plane: number | null): void {
    this.plane = plane;
    this.chose();
    if (this.listed) this.list();
    const cell = this.stage.chosen;
    if (cell) void this.point.show(this.result, this.number, cell, true, plane, this.about.image !== null);
  }

  /** Class, threshold or colours are others. */
  private chose(): void {
    const { result, stage } = this;
    if (stage.cells) stage.cells.choice = this.choice();
    const [low, high] = result.range;
    need("threshold", HTMLInputElement).value = String(Math.round((STEPS * (this.threshold - low)) / Math.max(high - low, 1e-12)));
    need("threshold-out", HTMLElement).textContent = this.threshold <= low ? "all" : `≥ ${short(this.threshold)}`;
    this.classes.mark(this.plane);
    this.legend();
    stage.draw();
    this.moved();
  }

  private legend(): void {
    const parts: HTMLElement[] = [];
    if (this.plane !== null) {
      const strip = el("canvas", { width: 256, height: 1 });
      const scale = this.about.scales[this.scale] ?? [];
      const pixels = new ImageData(256, 1);
      for (let i = 0; i < 256; i++) pixels.data.set([scale[3 * i] ?? 0, scale[3 * i + 1] ?? 0, scale[3 * i + 2] ?? 0, 255], 4 * i);
      strip.getContext("2d")?.putImageData(pixels, 0, 0);
      parts.push(el("span", {}, short(this.result.range[0])), strip, el("span", {}, short(this.result.range[1])));
    }
    parts.push(el("span", { class: "none" }, [el("span", { class: "swatch none" }), "no answer"]));
    need("legend", HTMLElement).replaceChildren(...parts);
  }

  private pointed(cell: readonly [number, number] | null): void {
    if (this.stage.chosen) return;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => void this.point.show(this.result, this.number, cell, false, this.plane, false), POINTED);
  }

  private choose(cell: readonly [number, number] | null): void {
    clearTimeout(this.resting);
    this.stage.chosen = cell;
    void this.point.show(this.result, this.number, cell, cell !== null, this.plane, this.about.image !== null);
    this.stage.draw();
  }

  private go(peak: Peak): void {
    const [x, y] = centreOf(this.result.grid, peak.row, peak.col);
    const side = Math.max(peak.box[2] - peak.box[0], peak.box[3] - peak.box[1]);
    this.stage.look(x, y, Math.max(this.stage.sight.zoom, Math.min(4, 120 / side)));
    this.choose([peak.row, peak.col]);
  }

  private list(): void {
    this.listed = true;
    this.stage.marks = [];
    const threshold = this.threshold > this.result.range[0] ? this.threshold : null;
    void this.peaks.find(this.result, this.number, this.plane, threshold).then(() => this.mark());
  }

  private mark(): void {
    this.stage.marks = this.peaks.boxes;
    this.stage.draw();
  }

  private async say(what: Record<string, unknown>, cell: Cell | null = null): Promise<void> {
    try {
      this.judged((await server.say(this.number, what)).verdicts);
      if (cell || this.stage.chosen) await this.point.show(this.result, this.number, this.stage.chosen, true, this.plane, this.about.image !== null);
    } catch (error) {
      this.warn(told(error));
    }
  }

  private judged(verdicts: Verdict[]): void {
    this.verdicts = verdicts;
    this.peaks.take(verdicts);
    this.mark();
  }

  private progressed(number: number, state: State, text: string): void {
    if (number !== this.number) return;
    need("run", HTMLElement).textContent = text;
    if (state.epoch >= 0 && state.epoch !== this.result.epoch) {
      location.reload();
      return;
    }
    if (state.same === false) this.warn("The image is not the file that this map was made of, or has changed since.");
    if (state.done.length) {
      this.stage.cells?.renew(state);
      if (state.finished) this.count(number);
    }
    this.stage.failed = state.failed;
    this.stage.draw();
  }

  private warn(text: string): void {
    const warning = need("warning", HTMLElement);
    [warning.textContent, warning.hidden] = [text, text === ""];
  }

  private hash(): string {
    const { x, y, zoom } = this.stage.sight;
    return link.write({ x, y, zoom, plane: this.plane, threshold: this.threshold, result: this.number });
  }

  private moved(): void {
    const [length, text] = this.stage.bar(this.result.place);
    need("bar-line", HTMLElement).style.width = `${length}px`;
    need("bar-text", HTMLElement).textContent = text;
    clearTimeout(this.linking);
    this.linking = window.setTimeout(() => history.replaceState(null, "", this.hash()), 150);
  }

  private follow(to: link.Link): void {
    if (to.result !== this.number && to.result < this.about.results.length) this.show(to.result);
    this.plane = to.plane !== null && to.plane < this.result.labels.length ? to.plane : null;
    this.threshold = to.threshold;
    this.chose();
    this.stage.look(to.x, to.y, to.zoom);
  }

  private controls(): void {
    const { stage } = this;
    const threshold = need("threshold", HTMLInputElement);
    threshold.addEventListener("input", () => {
      const [low, high] = this.result.range;
      this.threshold = low + (Number(threshold.value) / STEPS) * (high - low);
      this.chose();
    });
    threshold.addEventListener("change", () => this.listed && this.list());
    const opacity = need("opacity", HTMLInputElement);
    const shade = (): void => {
      stage.opacity = Number(opacity.value) / 100;
      need("opacity-out", HTMLElement).textContent = `${opacity.value} %`;
      stage.draw();
    };
    opacity.addEventListener("input", shade);
    shade();
    const scale = need("scale", HTMLSelectElement);
    scale.replaceChildren(...Object.keys(this.about.scales).map((name) => el("option", { value: name }, name)));
    scale.addEventListener("change", () => {
      this.scale = scale.value;
      this.chose();
    });
    const map = need("map", HTMLInputElement);
    map.addEventListener("change", () => {
      stage.showsMap = map.checked;
      stage.draw();
    });
    const results = need("result", HTMLSelectElement);
    results.hidden = this.about.results.length < 2;
    results.replaceChildren(...this.about.results.map((each, i) => el("option", { value: i }, plain(each.name))));
    results.addEventListener("change", () => this.show(Number(results.value)));
    this.contrast();
    const full = (): void => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
    const keys = need("keys", HTMLDialogElement);
    const press = (id: string, what: () => void): void => need(id, HTMLButtonElement).addEventListener("click", what);
    press("fit", () => stage.fit());
    press("in", () => stage.zoomBy(2));
    press("out", () => stage.zoomBy(0.5));
    press("full", full);
    press("help", () => keys.showModal());
    press("find", () => this.list());
    press("theme", () => {
      const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
      document.documentElement.dataset.theme = dark ? "light" : "dark";
    });
    listen(stage, {
      class: (step) => this.take(this.classes.beside(step)),
      winners: () => this.take(null),
      map: () => map.click(),
      middle: () => {
        const { width, height } = stage.canvas.getBoundingClientRect();
        this.choose(stage.at(width / 2, height / 2));
      },
      none: () => this.choose(null),
      peaks: () => this.list(),
      search: () => need("search", HTMLInputElement).focus(),
      full,
      help: () => keys.showModal(),
    });
  }

  private contrast(): void {
    const layer = this.stage.image;
    if (!layer) return;
    need("contrast", HTMLElement).hidden = layer.about.bands === 1 && layer.about.type === "uint8";
    const [bands, cut] = [need("bands", HTMLInputElement), need("cut", HTMLSelectElement)];
    [bands.value, cut.value] = [layer.look.bands.join(","), layer.look.cut === null ? "none" : String(layer.look.cut)];
    const changed = (): void => {
      const numbers = bands.value.split(",").map(Number).filter((band) => Number.isInteger(band) && band >= 1 && band <= layer.about.bands);
      const sound = numbers.length === 1 || numbers.length === 3;
      bands.setAttribute("aria-invalid", sound ? "false" : "true");
      if (!sound) return;
      layer.look = { bands: numbers, cut: cut.value === "none" ? null : Number(cut.value) };
      this.stage.draw();
    };
    bands.addEventListener("change", changed);
    cut.addEventListener("change", changed);
  }
}

server.about().then(
  (about) => new Page(about),
  (error: unknown) => {
    const warning = need("warning", HTMLElement);
    [warning.textContent, warning.hidden] = [told(error), false];
  },
);
