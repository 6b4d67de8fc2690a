// All that is drawn of a place: image, map, and what lies on them; on the screen, and again at another resolution for a picture that is saved.

import type { CellLayer } from "./cells";
import { fieldOf, flatSize, squareOf, toFlat, value, type Screen } from "./geometry";
import type { Canvas2D, ImageLayer } from "./image";
import { drawMarks, outline, type Mark } from "./marks";
import type { Failed } from "./told";

export class Scene {
  image: ImageLayer | null = null;
  cells: CellLayer | null = null;
  opacity = 0.6;
  showsMap = true;
  failed: Failed[] = [];
  marks: Mark[] = [];
  /** The crop and field that are outlined: of the cell that is chosen, else of the one that is pointed at. */
  chosen: readonly [number, number] | null = null;
  pointed: readonly [number, number] | null = null;
  private readonly sheet = new OffscreenCanvas(1, 1);

  /** Whether something of what is seen has not come yet. */
  get busy(): boolean {
    return Boolean(this.cells?.tiles.busy || this.image?.tiles.busy);
  }

  /** Draw onto a canvas of a screen's size in pixels of the device; what is to be said of it. */
  paint(context: Canvas2D, screen: Screen): string {
    const { sight, size, ratio } = screen;
    const [wide, high] = [context.canvas.width, context.canvas.height];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, wide, high);
    if (!sight.angle) {
      const said = this.layers(context, screen);
      context.scale(ratio, ratio);
      this.lines(context, screen);
      context.setTransform(1, 0, 0, 1, 0, 0);
      return said;
    }
    const [broad, tall] = flatSize([wide, high], sight.angle).map(Math.ceil) as [number, number];
    const flat: Screen = { ...screen, size: [broad / ratio, tall / ratio] };
    if (this.sheet.width !== broad || this.sheet.height !== tall) [this.sheet.width, this.sheet.height] = [broad, tall];
    const sheet = this.sheet.getContext("2d");
    if (!sheet) return "the browser gives no canvas";
    sheet.clearRect(0, 0, broad, tall);
    const said = this.layers(sheet, flat);
    context.translate((size[0] * ratio) / 2, (size[1] * ratio) / 2);
    context.rotate((sight.angle * Math.PI) / 180);
    context.translate(-broad / 2, -tall / 2);
    context.imageSmoothingEnabled = sight.angle % 90 !== 0;
    context.drawImage(this.sheet, 0, 0);
    context.scale(ratio, ratio);
    this.lines(context, flat);
    context.setTransform(1, 0, 0, 1, 0, 0);
    return said;
  }

  private layers(context: Canvas2D, screen: Screen): string {
    const said = [this.image?.draw(context, screen)];
    if (this.showsMap && this.cells) said.push(this.cells.draw(context, screen, this.opacity));
    return said.filter((text) => text).join(" · ");
  }

  private lines(context: Canvas2D, screen: Screen): void {
    for (const each of this.failed) this.hatch(context, screen, each);
    drawMarks(context, screen, this.marks);
    const grid = this.cells?.result.grid;
    if (!grid) return;
    if (this.pointed && this.pointed !== this.chosen) outline(context, screen, squareOf(grid, ...this.pointed), "#ffffff", [], 1);
    const cell = this.chosen ?? this.pointed;
    if (!cell || this.cells?.result.scales.length) return;
    const [y, x] = [cell[0] * value(grid.stride[0]), cell[1] * value(grid.stride[1])];
    outline(context, screen, fieldOf(grid, ...cell), "#ffd60a", [6, 4], 1.5);
    outline(context, screen, [x, y, x + value(grid.crop[1]), y + value(grid.crop[0])], "#00d8ff", [], 2);
    outline(context, screen, squareOf(grid, ...cell), "#ffffff", [], 1);
  }

  /** A tile that did not decode. */
  private hatch(context: Canvas2D, screen: Screen, { cells: [first, last, start, end] }: Failed): void {
    const grid = this.cells?.result.grid;
    if (!grid) return;
    const [x0, y0] = squareOf(grid, first, start);
    const [, , x1, y1] = squareOf(grid, last - 1, end - 1);
    const [left, above] = toFlat(screen, x0, y0);
    const [right, below] = toFlat(screen, x1, y1);
    const [top, bottom] = [Math.max(above, 0), Math.min(below, screen.size[1])];
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, Math.max(0, bottom - top));
    context.clip();
    context.strokeStyle = "rgba(229, 72, 77, 0.8)";
    context.beginPath();
    for (let at = Math.max(left, 0) - bottom + top; at < Math.min(right, screen.size[0]); at += 12) {
      context.moveTo(at, bottom);
      context.lineTo(at + bottom - top, top);
    }
    context.stroke();
    context.restore();
  }
}
