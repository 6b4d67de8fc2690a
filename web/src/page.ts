// One result: what is shown of it, what was chosen, and what happens when that changes.

import * as server from "./ask";
import { Beside } from "./beside";
import { CellLayer } from "./cells";
import { Classes } from "./classes";
import { contrast, controls, type Chosen } from "./controls";
import { el, need, plain, short } from "./dom";
import { Finds, type Kind } from "./finds";
import { centreOf } from "./geometry";
import { ImageLayer } from "./image";
import { sameClass } from "./labels";
import { captionOf, legend } from "./legend";
import * as link from "./link";
import { Point, told, type Context } from "./point";
import { Run } from "./run";
import type { Choice } from "./scores";
import { save, shot } from "./shot";
import { notSmooth } from "./smooth";
import { Stage } from "./stage";
import { hasWinners, shownOf, type About, type Cell, type Find, type Opened, type Picture, type Result, type State, type Verdict } from "./told";

const SETTLES = 250; // ms between two looks whether all that is seen has come
const POINTED = 70; // ms that a pointer rests before the server is asked for a cell

export class Page implements Chosen {
  readonly stage: Stage;
  readonly classes: Classes;
  result: Result;
  scale = "viridis";
  smooth = false;
  threshold: number;
  private readonly beside: Beside;
  private readonly point: Point;
  private readonly finds: Finds;
  /** The region that is chosen, by its best cell. */
  private region: Find | null = null;
  private compared: link.Compared | null = null;
  private picture: Picture | null = null;
  private plane: number | null = null;
  private verdicts: Verdict[] = [];
  private run: Run | null = null;
  private resting = 0;
  private linking = 0;
  private opening = 0;
  private listed = false;

  constructor(
    readonly about: About,
    private number: number,
    opened: Opened,
  ) {
    this.result = opened.result;
    this.threshold = this.least;
    this.stage = new Stage(need("canvas", HTMLCanvasElement), need("overview", HTMLCanvasElement), {
      moved: (sight) => {
        this.beside.stage.follow(sight);
        this.moved();
      },
      pointed: (cell, place) => {
        this.beside.stage.point(place);
        this.pointed(cell);
      },
      chosen: (cell) => this.choose(cell),
      said: (text) => {
        const said = need("said", HTMLElement);
        if (said.textContent !== text) said.textContent = text;
      },
    });
    this.beside = new Beside(need("beside", HTMLElement), need("canvas2", HTMLCanvasElement), need("said2", HTMLElement), need("name2", HTMLElement), (result) => this.choiceOf(result), {
      moved: (sight) => {
        this.stage.follow(sight);
        this.moved();
      },
      pointed: (_, place) => this.stage.point(place, true),
      chosen: (cell) => {
        const { result } = this.beside;
        const own = result && this.stage.cellAt(centreOf(result.grid, cell[0], cell[1]));
        if (own) this.choose(own);
      },
    });
    this.classes = new Classes(need("classes", HTMLElement), need("classes-more", HTMLElement), need("search", HTMLInputElement), (plane) => this.take(plane));
    this.point = new Point(need("point", HTMLElement), need("live", HTMLElement), {
      say: (cell, plane, verdict, label, note) => void this.say({ row: cell.row, col: cell.col, class: plane, verdict, label, note }, this.region),
      verdict: (row, col, plane) => this.verdicts.find((each) => each.row === row && each.col === col && each.class === this.result.labels[plane] && each.cells === (this.region?.region?.cells ?? null)),
    });
    this.finds = new Finds(need("finds", HTMLElement), {
      go: (find) => this.go(find),
      say: (find, verdict, note) => void this.say({ row: find.row, col: find.col, class: this.plane, verdict, note }, find),
      changed: () => this.relist(),
    });
    controls(this);
    this.show(opened);
  }

  /** By which name the server knows what is shown. */
  private get id(): string {
    return this.compared?.how === "less" ? `${this.compared.with}-${this.number}` : String(this.number);
  }

  /** The lowest threshold, at which all is shown. */
  get least(): number {
    return this.result.parts ? 0 : this.result.range[0];
  }

  /** What is looked at; what a link says of all but the place is opened first. */
  async follow(to: link.Link): Promise<void> {
    if (to.result !== this.number || JSON.stringify(to.compared) !== JSON.stringify(this.compared)) await this.open(to.result, to.compared);
    this.plane = shownOf(this.result, to.plane !== null && to.plane < this.result.labels.length ? to.plane : null);
    [this.threshold, this.smooth] = [to.threshold, to.smooth];
    this.chose();
    this.stage.look(to.x, to.y, to.zoom, to.angle);
  }

  /** Show a result, beside another or less it where that is asked for, at the place and by the class and threshold that are looked at. */
  async open(number: number, compared: link.Compared | null = null): Promise<boolean> {
    const mine = ++this.opening;
    const before = { number: this.number, compared: this.compared };
    [this.number, this.compared] = [number, compared];
    try {
      const opened = await server.opened(this.id);
      if (mine !== this.opening) return false;
      this.show(opened);
      return true;
    } catch (error) {
      if (mine !== this.opening) return false;
      [this.number, this.compared] = [before.number, before.compared];
      this.warn(told(error));
      need("compare", HTMLSelectElement).value = before.compared ? before.compared.how + before.compared.with : "";
      return false;
    }
  }

  private show({ result, image }: Opened): void {
    const { id, stage } = this;
    const before = this.result;
    this.plane = this.plane === null ? null : sameClass(before.labels, this.plane, result.labels);
    if (this.plane === -1) this.plane = null;
    if (this.plane === null && result.labels.length === 1 && !result.parts) this.plane = 0;
    this.plane = shownOf(result, this.plane);
    this.result = result;
    if (result.kind !== before.kind) this.threshold = this.least;
    if (JSON.stringify(image) !== JSON.stringify(this.picture) || !stage.scene.image) {
      this.picture = image;
      stage.scene.image = image ? new ImageLayer(image, () => stage.draw()) : null;
      contrast(stage);
    }
    const { scene } = stage;
    scene.cells = new CellLayer(result, id, this.choice, () => stage.draw());
    [scene.failed, scene.chosen, scene.marks, this.region, this.listed, this.verdicts] = [result.failed, null, [], null, false, []];
    this.finds.clear();
    this.warn("");
    document.title = `${result.name} · fullconv`;
    need("title", HTMLElement).textContent = plain(result.name);
    need("result", HTMLSelectElement).value = String(this.number);
    need("csv", HTMLAnchorElement).href = `api/${this.number}/verdicts.csv`;
    need("labels", HTMLElement).replaceChildren(...result.labels.slice(0, 1000).map((label) => el("option", { value: label })));
    const card = result.threshold === null ? null : `threshold of the network's card: ${short(result.threshold)}`;
    const lines = [result.statement, result.exactness, ...result.remarks, card, `${result.grid.rows.toLocaleString("en")} × ${result.grid.cols.toLocaleString("en")} cells, ${result.kind || "scores"} by ${result.by}`];
    need("about", HTMLElement).replaceChildren(...lines.filter((line) => line).map((line) => el("p", {}, plain(line ?? ""))));
    need("judged", HTMLElement).hidden = need("scale", HTMLSelectElement).disabled = result.parts !== null;
    this.classes.take(result);
    if (this.compared?.how === "beside") void this.beside.open(String(this.compared.with), stage);
    else this.beside.hide();
    this.watch(id);
    void this.point.show(this.context, null, false);
    this.chose();
  }

  /** What goes on with a result while it is looked at. */
  private watch(id: string): void {
    this.run?.stop();
    need("run", HTMLElement).textContent = "";
    if (this.result.parts) return;
    this.run = new Run(id, (state, text, back) => this.progressed(id, state, text, back));
    if (this.result.finished && hasWinners(this.result)) setTimeout(() => id === this.id && this.count(id), SETTLES);
    void server.verdicts(id).then(({ verdicts }) => id === this.id && this.judged(verdicts), (error: unknown) => this.warn(told(error)));
  }

  /** Ask for the areas, once what is seen is there: the whole map is read for them. */
  private count(id: string): void {
    if (this.stage.scene.busy) {
      setTimeout(() => id === this.id && this.count(id), SETTLES);
      return;
    }
    void server.areas(id).then(({ cells }) => cells && id === this.id && this.classes.areas(cells), (error: unknown) => this.warn(told(error)));
  }

  get choice(): Choice {
    return this.choiceOf(this.result);
  }

  /** The same class and threshold of any result. */
  private choiceOf(result: Result): Choice {
    const [low, high] = result.range;
    const found = this.plane === null || result === this.result ? this.plane : sameClass(this.result.labels, this.plane, result.labels);
    const scale = result.parts ? this.about.diverging : this.about.scales[this.scale] ?? [];
    const all = this.threshold <= this.least || (result.parts !== null && this.plane === null);
    return { plane: found, threshold: all ? -Infinity : this.threshold, low, high, scale, smooth: this.smooth, diverging: result.parts !== null };
  }

  private get context(): Context {
    const { beside, result } = this;
    const other = beside.shown ? (cell: Cell): Promise<Cell["other"]> => beside.scores(centreOf(result.grid, cell.row, cell.col), result.labels) : null;
    return { id: this.id, result, plane: this.plane, picture: this.picture !== null, region: this.region?.region ?? null, other };
  }

  /** Show a class, or winners. */
  take(plane: number | null): void {
    this.plane = shownOf(this.result, plane);
    this.chose();
    this.relist();
    const cell = this.stage.scene.chosen;
    if (cell) void this.point.show(this.context, cell, true);
  }

  /** Class, threshold or colours are others. */
  chose(): void {
    const { result, stage } = this;
    if (stage.scene.cells) stage.scene.cells.choice = this.choice;
    this.beside.chose();
    const [low, high] = [this.least, result.range[1]];
    need("threshold", HTMLInputElement).value = String(Math.round((Number(need("threshold", HTMLInputElement).max) * (this.threshold - low)) / Math.max(high - low, 1e-12)));
    const typed = need("threshold-number", HTMLInputElement);
    if (typed !== document.activeElement) typed.value = this.threshold <= low ? "" : short(this.threshold);
    this.classes.mark(this.plane);
    need("smooth", HTMLInputElement).checked = this.smooth;
    need("smooth-why", HTMLElement).textContent = this.smooth ? notSmooth(result, this.plane) : "";
    need("legend", HTMLElement).replaceChildren(...legend(result, this.choice));
    stage.draw();
    this.moved();
  }

  private pointed(cell: readonly [number, number] | null): void {
    if (this.stage.scene.chosen) return;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => void this.point.show(this.context, cell, false), POINTED);
  }

  shade(opacity: number): void {
    for (const stage of [this.stage, this.beside.stage]) {
      stage.scene.opacity = opacity;
      stage.draw();
    }
  }

  choose(cell: readonly [number, number] | null, region: Find | null = null): void {
    clearTimeout(this.resting);
    [this.stage.scene.chosen, this.region] = [cell, region];
    void this.point.show(this.context, cell, cell !== null);
    this.stage.draw();
  }

  /** Look at a peak, or at all of a region. */
  private go(find: Find): void {
    const { stage, result } = this;
    const [x0, y0, x1, y1] = find.box;
    if (find.region) {
      const fits = 0.8 * Math.min(stage.size[0], stage.size[1]) / Math.hypot(x1 - x0, y1 - y0);
      stage.look((x0 + x1) / 2, (y0 + y1) / 2, Math.min(fits, Math.max(stage.sight.zoom, Math.min(fits / 3, 4))));
    } else stage.look(...centreOf(result.grid, find.row, find.col), Math.max(stage.sight.zoom, Math.min(4, 120 / Math.max(x1 - x0, y1 - y0))));
    this.choose([find.row, find.col], find.region ? find : null);
    this.mark();
  }

  /** List peaks or regions; those of the tab that is open by default. */
  list(kind: Kind | null = null): void {
    if (this.result.parts) return;
    this.listed = false;
    if (kind) this.finds.turn(kind);
    this.listed = true;
    this.find(true);
  }

  relist(): void {
    if (this.listed) this.find(false);
    this.mark();
  }

  private find(focuses: boolean): void {
    this.stage.scene.marks = [];
    if (this.region) this.choose(this.stage.scene.chosen);
    void this.finds.find(this.result, this.id, this.plane, this.threshold > this.least ? this.threshold : null, focuses).then(() => this.mark());
  }

  private mark(): void {
    this.stage.scene.marks = this.finds.marks;
    this.stage.draw();
  }

  private async say(what: Record<string, unknown>, find: Find | null): Promise<void> {
    const { id } = this;
    try {
      const { verdicts } = await server.say(id, find?.region ? { ...what, cells: find.region.cells, threshold: this.finds.threshold } : what);
      if (id !== this.id) return;
      this.judged(verdicts);
    } catch (error) {
      this.warn(told(error));
    }
  }

  private judged(verdicts: Verdict[]): void {
    this.verdicts = verdicts;
    this.finds.take(verdicts);
    this.point.judge();
    this.mark();
  }

  private progressed(id: string, state: State | null, text: string, back: boolean): void {
    if (id !== this.id) return;
    need("run", HTMLElement).textContent = text;
    if (!state) return;
    if (state.epoch !== this.result.epoch) {
      location.reload();
      return;
    }
    if (state.same === false) this.warn("The image is not the file that this map was made of, or has changed since.");
    const ended = state.finished && !this.result.finished;
    if (back) this.stage.scene.cells?.again();
    if (state.done.length || ended) this.stage.scene.cells?.renew(state);
    if (ended) this.count(id);
    const all = this.threshold <= this.least;
    const { result } = this;
    [result.finished, this.stage.scene.failed] = [state.finished, state.failed];
    if (state.range[0] !== result.range[0] || state.range[1] !== result.range[1]) {
      result.range = state.range;
      if (all) this.threshold = this.least;
      this.chose();
    }
    this.stage.draw();
  }

  /** It is not looked at any more. */
  leave(): void {
    this.run?.stop();
    clearTimeout(this.linking);
    need("run", HTMLElement).textContent = "";
  }

  warn(text: string): void {
    const warning = need("warning", HTMLElement);
    [warning.textContent, warning.hidden] = [text, text === ""];
  }

  hash(): string {
    const { x, y, zoom, angle } = this.stage.sight;
    return link.write({ x, y, zoom, plane: this.plane, threshold: this.threshold, result: this.number, angle, compared: this.compared, smooth: this.smooth });
  }

  private moved(): void {
    const [length, text] = this.stage.bar(this.result.place);
    need("bar-line", HTMLElement).style.width = `${length}px`;
    need("bar-text", HTMLElement).textContent = text;
    clearTimeout(this.linking);
    this.linking = window.setTimeout(() => !need("view", HTMLElement).hidden && history.replaceState(null, "", this.hash()), 150);
  }

  /** Compare with another result, by what a link says of it; with none: not. */
  compare(text: string): void {
    void this.open(this.number, link.compared(text));
  }

  /** Save what is seen as a picture. */
  async shoot(times: number): Promise<void> {
    const stages = this.beside.shown ? [this.stage, this.beside.stage] : [this.stage];
    try {
      save(await shot(stages, captionOf(this.result, this.choice, this.stage.bar(this.result.place), this.classes), times), `${this.result.name.replace(/\.\w+$/, "")}.png`);
    } catch (error) {
      this.warn(told(error));
    }
  }
}
