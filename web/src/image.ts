// The image: tiles of the level that the screen has pixels for, and coarser ones where those are not there yet.

import { picture } from "./ask";
import { toFlat, type Screen } from "./geometry";
import { Tiles } from "./tiles";
import type { Look, Picture } from "./told";

const MOST = 192 << 20; // bytes of decoded tiles
const TOO_MANY = 96; // tiles on one screen: of an image whose coarsest level is still this fine

const PATIENCE = 12; // times as many for a picture that is saved

export type Canvas2D = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
type Spot = readonly [number, number, number]; // level, row, column

export class ImageLayer {
  look: Look;
  readonly tiles: Tiles<ImageBitmap>;

  constructor(
    readonly about: Picture,
    arrived: () => void,
  ) {
    this.look = about.look;
    this.tiles = new Tiles(
      (key, signal) => picture(`api/image/${about.of}/${key}`, signal),
      (bitmap) => 4 * bitmap.width * bitmap.height,
      MOST,
      arrived,
    );
  }

  /** Draw what a screen shows; what is to be said of it. */
  draw(context: Canvas2D, screen: Screen): string {
    const { sight, ratio } = screen;
    const level = Math.min(Math.max(Math.floor(Math.log2(1 / (sight.zoom * ratio))), 0), this.about.levels - 1);
    const wanted = this.seen(level, screen);
    if (wanted.length > (screen.patient ? PATIENCE : 1) * TOO_MANY) {
      this.tiles.want(this.coarsest());
      return "zoom in to see the image: its file has no coarser levels";
    }
    const [x, y] = [sight.x, sight.y];
    const [tall, wide] = this.span(level);
    const far = ([, row, col]: Spot): number => Math.hypot((row + 0.5) * tall - y, (col + 0.5) * wide - x);
    // The coarsest level is there at once, and is seen until the others are.
    this.tiles.want([...new Set([...this.coarsest(), ...wanted.sort((a, b) => far(a) - far(b)).map((spot) => this.key(spot))])]);
    context.imageSmoothingEnabled = sight.zoom * ratio < 2;
    const missing = wanted.some((spot) => !this.tiles.peek(this.key(spot)));
    if (missing) for (let coarse = this.about.levels - 1; coarse > level; coarse--) this.paint(context, this.seen(coarse, screen), screen);
    this.paint(context, wanted, screen);
    const failed = wanted.map((spot) => this.tiles.failure(this.key(spot))).find((text) => text);
    return failed ? `a part of the image cannot be read: ${failed}` : "";
  }

  /** Draw the whole image into a small canvas, of its coarsest level. */
  overview(context: CanvasRenderingContext2D, wide: number, high: number): void {
    if (!this.coarsest().length) return;
    const sight = { x: this.about.width / 2, y: this.about.height / 2, zoom: wide / this.about.width, angle: 0 };
    const screen: Screen = { sight, size: [wide, high], ratio: 1, patient: false };
    context.imageSmoothingEnabled = true;
    this.paint(context, this.seen(this.about.levels - 1, screen), screen);
  }

  /** The coarsest level's tiles, which an overview is made of. */
  private coarsest(): string[] {
    const level = this.about.levels - 1;
    const [tall, broad] = this.count(level);
    const every: string[] = [];
    if (tall * broad <= 16) for (let row = 0; row < tall; row++) for (let col = 0; col < broad; col++) every.push(this.key([level, row, col]));
    return every;
  }

  private paint(context: Canvas2D, spots: Spot[], screen: Screen): void {
    for (const spot of spots) {
      const tile = this.tiles.peek(this.key(spot));
      if (!tile) continue;
      const [tall, wide] = this.span(spot[0]);
      const [sides, across] = [this.about.height / this.pixels(spot[0])[0], this.about.width / this.pixels(spot[0])[1]];
      const [x, y] = [spot[2] * wide, spot[1] * tall];
      const [left, top] = toFlat(screen, x, y);
      const [right, bottom] = toFlat(screen, x + tile.width * across, y + tile.height * sides);
      const [x0, y0, x1, y1] = [left, top, right, bottom].map((at) => Math.round(at * screen.ratio)) as [number, number, number, number];
      context.drawImage(tile, x0, y0, x1 - x0, y1 - y0);
    }
  }

  private seen(level: number, { sight, size, patient }: Screen): Spot[] {
    const [tall, wide] = this.span(level);
    const [rows, cols] = this.count(level);
    const [half, high] = [size[0] / 2 / sight.zoom, size[1] / 2 / sight.zoom];
    const spots: Spot[] = [];
    const [top, left] = [Math.max(0, Math.floor((sight.y - high) / tall)), Math.max(0, Math.floor((sight.x - half) / wide))];
    const [bottom, right] = [Math.min(rows - 1, Math.floor((sight.y + high) / tall)), Math.min(cols - 1, Math.floor((sight.x + half) / wide))];
    const most = (patient ? PATIENCE : 1) * TOO_MANY + 1;
    if ((bottom - top + 1) * (right - left + 1) > most) return new Array<Spot>(most).fill([level, 0, 0]);
    for (let row = top; row <= bottom; row++) for (let col = left; col <= right; col++) spots.push([level, row, col]);
    return spots;
  }

  /** (height, width) of a level. */
  private pixels(level: number): [number, number] {
    return [Math.ceil(this.about.height / 2 ** level), Math.ceil(this.about.width / 2 ** level)];
  }

  /** (rows, columns) of tiles. */
  private count(level: number): [number, number] {
    const [height, width] = this.pixels(level);
    return [Math.ceil(height / this.about.side), Math.ceil(width / this.about.side)];
  }

  /** (height, width) of a tile in pixels of the image. */
  private span(level: number): [number, number] {
    const [height, width] = this.pixels(level);
    return [(this.about.side * this.about.height) / height, (this.about.side * this.about.width) / width];
  }

  private key([level, row, col]: Spot): string {
    return `${level}/${row}/${col}?bands=${this.look.bands.join(",")}&cut=${this.look.cut ?? "none"}`;
  }
}
