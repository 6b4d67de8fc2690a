// The map: raw scores by tile, coloured here. Another class, threshold or opacity asks the server nothing for what it has sent already.

import { numbers } from "./ask";
import { squareOf, toFlat, value, type Screen, type Sight } from "./geometry";
import type { Canvas2D } from "./image";
import { Scores, type Choice, type Colours } from "./scores";
import { bordered, interpolated, notSmooth } from "./smooth";
import { Tiles } from "./tiles";
import type { Result, State } from "./told";

const MOST = 256 << 20; // bytes of scores
const TOO_MANY = 160; // tiles on one screen
const PATIENCE = 12; // times as many for a picture that is saved

type Spot = readonly [number, number, number]; // level, row, column

interface Painted {
  of: Scores;
  by: Choice;
  canvas: OffscreenCanvas;
}

export class CellLayer {
  choice: Choice;
  readonly tiles: Tiles<Scores>;
  private readonly colours: Colours;
  private readonly painted = new Map<string, Painted>();
  private readonly sheet = new OffscreenCanvas(1, 1);
  private arrivals = 0;
  /** What the sheet shows. */
  private shown = "";
  private by: Choice | null = null;

  constructor(
    readonly result: Result,
    private readonly id: string,
    choice: Choice,
    arrived: () => void,
  ) {
    this.choice = choice;
    // Background is no finding: what it wins shows the image alone, as in pictures that fullconv draws.
    this.colours = result.parts?.colours ?? result.colours.map((colour, i) => (result.background.includes(i) ? null : colour));
    this.tiles = new Tiles((key, signal) => this.load(key, signal), (scores) => scores.size, MOST, () => {
      this.arrivals += 1;
      arrived();
    });
  }

  /** Draw what a screen shows; what is to be said of it. */
  draw(context: Canvas2D, screen: Screen, opacity: number): string {
    const { sight, size, ratio } = screen;
    const level = this.level(sight, ratio);
    const wanted = this.seen(level, screen);
    if (!wanted.length) return "";
    if (wanted.length > this.most(screen)) return "zoom in to see the map";
    this.tiles.want(wanted.map((spot) => this.key(spot)));
    // A pointer that moves, or another opacity, needs no other sheet.
    const what = [level, sight.x, sight.y, sight.zoom, ...size, ratio, this.arrivals].join();
    if (what !== this.shown || this.by !== this.choice) {
      if (!this.cover(level, wanted, screen)) return "the browser gives no canvas";
      [this.shown, this.by] = [what, this.choice];
    }
    context.globalAlpha = opacity;
    context.drawImage(this.sheet, 0, 0);
    context.globalAlpha = 1;
    const failed = wanted.map((spot) => this.tiles.failure(this.key(spot))).find((text) => text);
    if (failed) return `a part of the map cannot be read: ${failed}`;
    return level ? this.coarse(`${2 ** level} × ${2 ** level} cells`) : "";
  }

  /** Make the sheet anew, with coarser levels where tiles have not come yet; whether the browser gives one. */
  private cover(level: number, wanted: Spot[], screen: Screen): boolean {
    const [wide, high] = [Math.round(screen.size[0] * screen.ratio), Math.round(screen.size[1] * screen.ratio)];
    if (this.sheet.width !== wide || this.sheet.height !== high) [this.sheet.width, this.sheet.height] = [wide, high];
    const sheet = this.sheet.getContext("2d");
    if (!sheet) return false;
    sheet.clearRect(0, 0, wide, high);
    sheet.imageSmoothingEnabled = false;
    if (wanted.some((spot) => !this.tiles.peek(this.key(spot))))
      for (let coarse = this.result.levels.length - 1; coarse > level; coarse--) this.paint(sheet, this.seen(coarse, screen), screen);
    this.paint(sheet, wanted, screen);
    return true;
  }

  private get smooth(): boolean {
    return this.choice.smooth && !notSmooth(this.result, this.choice.plane);
  }

  /** What a square stands for that is no cell. */
  private coarse(cells: string): string {
    if (this.result.parts && this.choice.plane === null) return `a square parts where any of its ${cells} does`;
    if (this.smooth) return `interpolated between means of ${cells}`;
    return this.result.winnersOnly ? `each square is the first of ${cells}` : `each square is the mean of ${cells}`;
  }

  private most(screen: Screen): number {
    return (screen.patient ? PATIENCE : 1) * TOO_MANY;
  }

  /** Ask anew for everything: the store was away. */
  again(): void {
    this.tiles.renew(() => true);
  }

  /** Ask anew for what a run has done since; for all once it has ended, which makes the coarser levels whole. */
  renew(state: State): void {
    if (state.finished) {
      this.tiles.renew(() => true);
      return;
    }
    const [up, left] = this.result.lead;
    this.tiles.renew((key) => {
      const [, level, row, col] = key.split("/").map(Number) as [number, number, number, number];
      const span = this.result.side * 2 ** level;
      return state.done.some(
        ([top, bottom, first, last]) =>
          top + up < (row + 1) * span && bottom + up > row * span && first + left < (col + 1) * span && last + left > col * span,
      );
    });
  }

  /** The level of which a cell is about a pixel of the device, or more. */
  private level(sight: Sight, ratio: number): number {
    const step = Math.min(value(this.result.grid.stride[0]), value(this.result.grid.stride[1]));
    const level = Math.max(0, Math.ceil(Math.log2(1 / (step * sight.zoom * ratio)) - 0.01));
    return Math.min(level, this.result.levels.length - 1);
  }

  /** A tile's edges in pixels of the image. */
  private edges([level, row, col]: Spot): [number, number, number, number] {
    const step = this.result.side * 2 ** level;
    const [rows, cols] = this.result.levels[level] ?? [0, 0];
    const [down, along] = [value(this.result.grid.stride[0]), value(this.result.grid.stride[1])];
    const [x, y] = squareOf(this.result.grid, -this.result.lead[0], -this.result.lead[1]);
    const [last, end] = [Math.min((row + 1) * this.result.side, rows) * 2 ** level, Math.min((col + 1) * this.result.side, cols) * 2 ** level];
    return [x + col * step * along, y + row * step * down, x + end * along, y + last * down];
  }

  private paint(sheet: OffscreenCanvasRenderingContext2D, spots: Spot[], screen: Screen): void {
    for (const spot of spots) {
      const scores = this.tiles.peek(this.key(spot));
      if (!scores) continue;
      const [x0, y0, x1, y1] = this.edges(spot);
      const corners = [...toFlat(screen, x0, y0), ...toFlat(screen, x1, y1)].map((at) => at * screen.ratio) as [number, number, number, number];
      const [left, top, right, bottom] = corners.map(Math.round) as [number, number, number, number];
      if (this.smooth) {
        const seen = [Math.max(left, 0), Math.max(top, 0), Math.min(right, sheet.canvas.width), Math.min(bottom, sheet.canvas.height)] as const;
        if (seen[0] >= seen[2] || seen[1] >= seen[3]) continue;
        const around = bordered(scores, (down, along) => this.tiles.peek(this.key([spot[0], spot[1] + down, spot[2] + along])), this.choice.plane ?? 0);
        sheet.putImageData(interpolated(around, [scores.rows, scores.cols], corners, seen, this.choice), seen[0], seen[1]);
        continue;
      }
      sheet.clearRect(left, top, right - left, bottom - top); // one level at a time is seen through
      // Of a tile that begins within a pixel the first whose middle it covers is drawn, and from there on by exact places.
      const [across, down] = [scores.cols / (corners[2] - corners[0]), scores.rows / (corners[3] - corners[1])];
      const [x, y] = [(left - corners[0]) * across, (top - corners[1]) * down];
      sheet.drawImage(this.canvas(this.key(spot), scores), x + 1, y + 1, (right - left) * across, (bottom - top) * down, left, top, right - left, bottom - top);
    }
  }

  /** A tile's cells as pixels, the outermost twice: a pixel of the screen that is cut by its edge is drawn whole. */
  private canvas(key: string, scores: Scores): OffscreenCanvas {
    const before = this.painted.get(key);
    if (before?.of === scores && same(before.by, this.choice)) return before.canvas;
    const canvas = before?.of === scores ? before.canvas : new OffscreenCanvas(scores.cols + 2, scores.rows + 2);
    const [context, made] = [canvas.getContext("2d"), scores.coloured(this.choice, this.colours)];
    const parts = (count: number): (readonly [number, number, number])[] => [[0, 0, 1], [1, 0, count], [2, count - 1, 1]];
    for (const [x, first, wide] of parts(scores.cols)) for (const [y, top, high] of parts(scores.rows)) context?.putImageData(made, x, y, first, top, wide, high);
    this.painted.delete(key);
    this.painted.set(key, { of: scores, by: this.choice, canvas });
    for (const old of this.painted.keys()) {
      if (this.painted.size <= 2 * TOO_MANY) break;
      this.painted.delete(old);
    }
    return canvas;
  }

  private seen(level: number, screen: Screen): Spot[] {
    const { sight, size } = screen;
    const [rows, cols] = this.result.levels[level] ?? [0, 0];
    if (!rows || !cols) return [];
    const [left, top] = this.edges([level, 0, 0]);
    const tall = this.result.side * 2 ** level * value(this.result.grid.stride[0]);
    const wide = this.result.side * 2 ** level * value(this.result.grid.stride[1]);
    const border = this.smooth ? 1 / this.result.side : 0; // of a tile: the neighbours of the outermost cells
    const [half, high] = [size[0] / 2 / sight.zoom + border * wide, size[1] / 2 / sight.zoom + border * tall];
    const span = (from: number, step: number, middle: number, reach: number, count: number): [number, number] => [
      Math.max(0, Math.floor((middle - reach - from) / step)),
      Math.min(Math.ceil(count / this.result.side) - 1, Math.floor((middle + reach - from) / step)),
    ];
    const [first, last] = span(top, tall, sight.y, high, rows);
    const [start, end] = span(left, wide, sight.x, half, cols);
    const spots: Spot[] = [];
    for (let row = first; row <= last && spots.length <= this.most(screen); row++) for (let col = start; col <= end; col++) spots.push([level, row, col]);
    return spots;
  }

  private key([level, row, col]: Spot): string {
    const plane = this.choice.plane;
    const what = this.result.stacked ? "scores" : plane === null || this.result.winnersOnly ? "winners" : "scores";
    return `${what}/${level}/${row}/${col}${what === "scores" && !this.result.stacked ? `/${plane ?? 0}` : ""}`;
  }

  private async load(key: string, signal: AbortSignal): Promise<Scores> {
    const [what, level, row, col] = key.split("/") as [string, string, string, string];
    const [rows, cols] = this.result.levels[Number(level)] ?? [0, 0];
    const side = this.result.side;
    const data = await numbers(`api/${this.id}/${key}?epoch=${this.result.epoch}`, signal);
    const size = [Math.min(side, rows - Number(row) * side), Math.min(side, cols - Number(col) * side)] as const;
    return new Scores(size[0], size[1], this.result.stored, data, what === "winners");
  }
}

const same = (one: Choice, other: Choice): boolean => (Object.keys(one) as (keyof Choice)[]).every((name) => Object.is(one[name], other[name]));
