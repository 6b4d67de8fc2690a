// The canvas: image, map, and what is pointed at; moved by mouse, finger and keyboard. A frame is drawn when something changed.

import { CellLayer } from "./cells";
import { cellAt, fieldOf, roundLength, squareOf, toImage, toScreen, value, type Box, type Sight } from "./geometry";
import { ImageLayer } from "./image";
import { Moves } from "./moves";
import { short } from "./dom";
import type { Failed, Place } from "./told";

const CLOSEST = 64; // screen pixels for one of the image

export interface Told {
  moved: (sight: Sight) => void;
  pointed: (cell: readonly [number, number] | null) => void;
  chosen: (cell: readonly [number, number]) => void;
  said: (text: string) => void;
}

export class Stage {
  sight: Sight = { x: 0, y: 0, zoom: 1 };
  image: ImageLayer | null = null;
  cells: CellLayer | null = null;
  opacity = 0.6;
  showsMap = true;
  failed: Failed[] = [];
  marks: { box: Box; kind: string }[] = [];
  /** The crop and field that are outlined: of the cell that is chosen, else of the one that is pointed at. */
  chosen: readonly [number, number] | null = null;
  private pointed: readonly [number, number] | null = null;
  private size: [number, number] = [1, 1];
  private ratio = 1;
  private waits = false;
  private readonly context: CanvasRenderingContext2D;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly overview: HTMLCanvasElement,
    private readonly tell: Told,
  ) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("the browser gives no canvas");
    this.context = context;
    new ResizeObserver(() => this.resize()).observe(canvas);
    new Moves(canvas, {
      pan: (x, y) => this.look(this.sight.x - x / this.sight.zoom, this.sight.y - y / this.sight.zoom),
      zoom: (factor, left, top) => this.zoomBy(factor, left, top),
      point: (left, top) => this.point(left, top),
      click: (left, top) => {
        const cell = this.at(left, top);
        if (cell) this.tell.chosen(cell);
      },
    });
    overview.addEventListener("pointerdown", (event) => this.jump(event));
    overview.addEventListener("pointermove", (event) => event.buttons && this.jump(event));
    this.resize();
  }

  /** Whether something of what is seen has not come yet. */
  get busy(): boolean {
    return Boolean(this.cells?.tiles.busy || this.image?.tiles.busy);
  }

  /** (height, width) of what is looked at, in pixels of the image. */
  get extent(): readonly [number, number] {
    return this.cells?.result.grid.image ?? [this.image?.about.height ?? 1, this.image?.about.width ?? 1];
  }

  /** The cell at a place on the screen. */
  at(left: number, top: number): readonly [number, number] | null {
    const [x, y] = toImage(this.sight, this.size, left, top);
    return this.cells ? cellAt(this.cells.result.grid, x, y) : null;
  }

  fit(): void {
    const [height, width] = this.extent;
    const zoom = 0.96 * Math.min(this.size[0] / width, this.size[1] / height);
    this.look(width / 2, height / 2, zoom);
  }

  /** Show a place in the middle; at a zoom, else at the one there is. */
  look(x: number, y: number, zoom = this.sight.zoom): void {
    const [height, width] = this.extent;
    const least = 0.25 * Math.min(this.size[0] / width, this.size[1] / height, 1);
    this.sight = { x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height), zoom: Math.min(Math.max(zoom, least), CLOSEST) };
    this.tell.moved(this.sight);
    this.draw();
  }

  zoomBy(factor: number, left = this.size[0] / 2, top = this.size[1] / 2): void {
    const [x, y] = toImage(this.sight, this.size, left, top);
    const before = this.sight.zoom;
    this.look(this.sight.x, this.sight.y, before * factor);
    const kept = before / this.sight.zoom;
    this.look(x + (this.sight.x - x) * kept, y + (this.sight.y - y) * kept);
  }

  /** Move by a share of the screen. */
  panBy(x: number, y: number): void {
    this.look(this.sight.x + (x * this.size[0]) / this.sight.zoom, this.sight.y + (y * this.size[1]) / this.sight.zoom);
  }

  /** Draw at the next frame. */
  draw(): void {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.paint();
    });
  }

  private resize(): void {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    this.size = [Math.max(1, width), Math.max(1, height)];
    [this.canvas.width, this.canvas.height] = [Math.round(width * this.ratio), Math.round(height * this.ratio)];
    this.draw();
  }

  private point(left: number | null, top = 0): void {
    const cell = left === null ? null : this.at(left, top);
    if (cell?.[0] === this.pointed?.[0] && cell?.[1] === this.pointed?.[1]) return;
    this.pointed = cell;
    this.tell.pointed(cell);
    this.draw();
  }

  private jump(event: PointerEvent): void {
    const box = this.overview.getBoundingClientRect();
    const [height, width] = this.extent;
    this.look(((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height);
  }

  private paint(): void {
    const { context, ratio, size, sight } = this;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const said = [this.image?.draw(context, sight, size, ratio)];
    if (this.showsMap && this.cells) said.push(this.cells.draw(context, sight, size, ratio, this.opacity));
    context.save();
    context.scale(ratio, ratio);
    for (const each of this.failed) this.hatch(each);
    for (const { box, kind } of this.marks) this.outline(box, kind === "reject" ? "#e5484d" : "#30a46c", [], 2);
    this.outlines();
    context.restore();
    this.tell.said(said.filter((text) => text).join(" · "));
    this.paintOverview();
  }

  private outlines(): void {
    const grid = this.cells?.result.grid;
    if (!grid) return;
    if (this.pointed && this.pointed !== this.chosen) this.outline(squareOf(grid, ...this.pointed), "#ffffff", [], 1);
    const cell = this.chosen ?? this.pointed;
    if (!cell || this.cells?.result.scales.length) return;
    const [y, x] = [cell[0] * value(grid.stride[0]), cell[1] * value(grid.stride[1])];
    this.outline(fieldOf(grid, ...cell), "#ffd60a", [6, 4], 1.5);
    this.outline([x, y, x + value(grid.crop[1]), y + value(grid.crop[0])], "#00d8ff", [], 2);
    this.outline(squareOf(grid, ...cell), "#ffffff", [], 1);
  }

  /** A line that is seen on light and on dark. */
  private outline(box: Box, colour: string, dash: number[], width: number): void {
    const { context } = this;
    const [left, top] = toScreen(this.sight, this.size, box[0], box[1]);
    const [right, bottom] = toScreen(this.sight, this.size, box[2], box[3]);
    context.setLineDash([]);
    context.lineWidth = width + 2;
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.strokeRect(left, top, right - left, bottom - top);
    context.setLineDash(dash);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.strokeRect(left, top, right - left, bottom - top);
    context.setLineDash([]);
  }

  /** A tile that did not decode. */
  private hatch({ cells: [first, last, start, end] }: Failed): void {
    const grid = this.cells?.result.grid;
    if (!grid) return;
    const [x0, y0] = squareOf(grid, first, start);
    const [, , x1, y1] = squareOf(grid, last - 1, end - 1);
    const [left, top] = toScreen(this.sight, this.size, x0, y0);
    const [right, bottom] = toScreen(this.sight, this.size, x1, y1);
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    context.strokeStyle = "rgba(229, 72, 77, 0.8)";
    context.beginPath();
    const from = Math.max(left, 0) - Math.min(bottom, this.size[1]) + Math.max(top, 0);
    for (let at = from; at < Math.min(right, this.size[0]); at += 12) {
      context.moveTo(at, Math.min(bottom, this.size[1]));
      context.lineTo(at + Math.min(bottom, this.size[1]) - Math.max(top, 0), Math.max(top, 0));
    }
    context.stroke();
    context.restore();
  }

  private paintOverview(): void {
    const [height, width] = this.extent;
    const scale = Math.min(180 / width, 140 / height);
    const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    if (this.overview.width !== wide || this.overview.height !== high) [this.overview.width, this.overview.height] = [wide, high];
    const context = this.overview.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, wide, high);
    this.image?.overview(context, wide, high);
    const half = [this.size[0] / 2 / this.sight.zoom, this.size[1] / 2 / this.sight.zoom] as const;
    context.lineWidth = 2;
    context.strokeStyle = "#00d8ff";
    context.strokeRect((this.sight.x - half[0]) * scale, (this.sight.y - half[1]) * scale, 2 * half[0] * scale, 2 * half[1] * scale);
  }

  /** The scale bar: its length on the screen, and what it says. */
  bar(place: Place): [number, string] {
    const own = place.pixel_size?.[1] || 1;
    const length = roundLength((140 / this.sight.zoom) * own);
    const unit = place.pixel_size ? { micrometer: "µm", meter: "m" }[place.unit] ?? place.unit : "px";
    const [large, named] = unit === "µm" && length >= 1000 ? [1000, "mm"] : unit === "m" && length >= 1000 ? [1000, "km"] : [1, unit];
    return [(length / own) * this.sight.zoom, `${short(length / large)} ${named}`];
  }
}
