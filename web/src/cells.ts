// The map: raw scores by tile, coloured here. Another class, threshold or opacity asks the server nothing for what it has sent already.

import { numbers } from "./ask";
import { squareOf, toScreen, value, type Sight } from "./geometry";
import { Scores, type Choice } from "./scores";
import { Tiles } from "./tiles";
import type { Result, State } from "./told";

const MOST = 256 << 20; // bytes of scores
const TOO_MANY = 160; // tiles on one screen

type Spot = readonly [number, number, number]; // level, row, column

interface Painted {
  of: Scores;
  by: string;
  canvas: OffscreenCanvas;
}

export class CellLayer {
  choice: Choice;
  readonly tiles: Tiles<Scores>;
  private readonly painted = new Map<string, Painted>();
  private readonly sheet = new OffscreenCanvas(1, 1);

  constructor(
    readonly result: Result,
    private readonly number: number,
    choice: Choice,
    arrived: () => void,
  ) {
    this.choice = choice;
    this.tiles = new Tiles((key, signal) => this.load(key, signal), (scores) => scores.size, MOST, arrived);
  }

  /** Draw what a screen of this size shows; what is to be said of it. */
  draw(context: CanvasRenderingContext2D, sight: Sight, size: readonly [number, number], ratio: number, opacity: number): string {
    const level = this.level(sight, ratio);
    const wanted = this.seen(level, sight, size);
    if (!wanted.length) return "";
    if (wanted.length > TOO_MANY) return "zoom in to see the map";
    this.tiles.want(wanted.map((spot) => this.key(spot)));
    const [wide, high] = [Math.round(size[0] * ratio), Math.round(size[1] * ratio)];
    if (this.sheet.width !== wide || this.sheet.height !== high) [this.sheet.width, this.sheet.height] = [wide, high];
    const sheet = this.sheet.getContext("2d");
    if (!sheet) return "the browser gives no canvas";
    sheet.clearRect(0, 0, wide, high);
    sheet.imageSmoothingEnabled = false;
    if (wanted.some((spot) => !this.tiles.peek(this.key(spot))))
      for (let coarse = this.result.levels.length - 1; coarse > level; coarse--) this.paint(sheet, this.seen(coarse, sight, size), sight, size, ratio);
    this.paint(sheet, wanted, sight, size, ratio);
    context.globalAlpha = opacity;
    context.drawImage(this.sheet, 0, 0);
    context.globalAlpha = 1;
    const failed = wanted.map((spot) => this.tiles.failure(this.key(spot))).find((text) => text);
    if (failed) return `a part of the map cannot be read: ${failed}`;
    return level ? `each square is the mean of ${2 ** level} × ${2 ** level} cells` : "";
  }

  /** Ask anew for what a run has done since. */
  renew(state: State): void {
    const [up, left] = this.result.lead;
    this.tiles.renew((key) => {
      const [, level, row, col] = key.split(/[/?]/).map(Number) as [number, number, number, number];
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

  private paint(sheet: OffscreenCanvasRenderingContext2D, spots: Spot[], sight: Sight, size: readonly [number, number], ratio: number): void {
    for (const spot of spots) {
      const canvas = this.canvas(this.key(spot));
      if (!canvas) continue;
      const [x0, y0, x1, y1] = this.edges(spot);
      const corners = [...toScreen(sight, size, x0, y0), ...toScreen(sight, size, x1, y1)];
      const [left, top, right, bottom] = corners.map((at) => Math.round(at * ratio)) as [number, number, number, number];
      sheet.clearRect(left, top, right - left, bottom - top); // one level at a time is seen through
      sheet.drawImage(canvas, left, top, right - left, bottom - top);
    }
  }

  private canvas(key: string): OffscreenCanvas | null {
    const scores = this.tiles.peek(key);
    if (!scores) return null;
    const by = JSON.stringify([this.choice.plane, this.choice.threshold, this.choice.low, this.choice.high, this.choice.scale[0], this.choice.scale[1]]);
    const before = this.painted.get(key);
    if (before?.of === scores && before.by === by) return before.canvas;
    const canvas = before?.of === scores ? before.canvas : new OffscreenCanvas(scores.cols, scores.rows);
    canvas.getContext("2d")?.putImageData(scores.coloured(this.choice, this.result.colours), 0, 0);
    this.painted.delete(key);
    this.painted.set(key, { of: scores, by, canvas });
    for (const old of this.painted.keys()) {
      if (this.painted.size <= 2 * TOO_MANY) break;
      this.painted.delete(old);
    }
    return canvas;
  }

  private seen(level: number, sight: Sight, size: readonly [number, number]): Spot[] {
    const [rows, cols] = this.result.levels[level] ?? [0, 0];
    if (!rows || !cols) return [];
    const [left, top] = this.edges([level, 0, 0]);
    const tall = this.result.side * 2 ** level * value(this.result.grid.stride[0]);
    const wide = this.result.side * 2 ** level * value(this.result.grid.stride[1]);
    const [half, high] = [size[0] / 2 / sight.zoom, size[1] / 2 / sight.zoom];
    const span = (from: number, step: number, middle: number, reach: number, count: number): [number, number] => [
      Math.max(0, Math.floor((middle - reach - from) / step)),
      Math.min(Math.ceil(count / this.result.side) - 1, Math.floor((middle + reach - from) / step)),
    ];
    const [first, last] = span(top, tall, sight.y, high, rows);
    const [start, end] = span(left, wide, sight.x, half, cols);
    const spots: Spot[] = [];
    for (let row = first; row <= last && spots.length <= TOO_MANY; row++) for (let col = start; col <= end; col++) spots.push([level, row, col]);
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
    const data = await numbers(`/api/${this.number}/${key}`, signal);
    const size = [Math.min(side, rows - Number(row) * side), Math.min(side, cols - Number(col) * side)] as const;
    return new Scores(size[0], size[1], this.result.stored, data, what === "winners");
  }
}
