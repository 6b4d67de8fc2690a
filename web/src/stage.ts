// A canvas that is moved by mouse, finger and keyboard. A frame is drawn when something changed.

import { cellAt, flatSize, roundLength, toImage, turned, type Screen, type Sight } from "./geometry";
import { Moves } from "./moves";
import { Scene } from "./scene";
import { short } from "./dom";
import type { Place } from "./told";

const CLOSEST = 64; // screen pixels for one of the image
const TURN = 15; // degrees

export interface Told {
  moved: (sight: Sight) => void;
  pointed: (cell: readonly [number, number] | null, place: readonly [number, number] | null) => void;
  chosen: (cell: readonly [number, number]) => void;
  said: (text: string) => void;
}

export class Stage {
  sight: Sight = { x: 0, y: 0, zoom: 1, angle: 0 };
  readonly scene = new Scene();
  /** While a picture is made of the scene at another resolution, the screen stays as it is. */
  still = false;
  size: [number, number] = [1, 1];
  private ratio = 1;
  private waits = false;
  private readonly context: CanvasRenderingContext2D;

  constructor(
    readonly canvas: HTMLCanvasElement,
    private readonly overview: HTMLCanvasElement | null,
    private readonly tell: Told,
  ) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("the browser gives no canvas");
    this.context = context;
    new ResizeObserver(() => this.resize()).observe(canvas);
    new Moves(canvas, {
      pan: (x, y) => this.panBy(-x / this.size[0], -y / this.size[1]),
      zoom: (factor, left, top) => this.zoomBy(factor, left, top),
      point: (left, top) => this.point(left === null ? null : toImage(this.sight, this.size, left, top ?? 0), true),
      click: (left, top) => {
        const cell = this.at(left, top);
        if (cell) this.tell.chosen(cell);
      },
    });
    overview?.addEventListener("pointerdown", (event) => this.jump(event));
    overview?.addEventListener("pointermove", (event) => event.buttons && this.jump(event));
    this.resize();
  }

  get screen(): Screen {
    return { sight: this.sight, size: this.size, ratio: this.ratio, patient: false };
  }

  /** (height, width) of what is looked at, in pixels of the image. */
  get extent(): readonly [number, number] {
    const { cells, image } = this.scene;
    return cells?.result.grid.image ?? [image?.about.height ?? 1, image?.about.width ?? 1];
  }

  /** The cell at a place on the screen. */
  at(left: number, top: number): readonly [number, number] | null {
    return this.cellAt(toImage(this.sight, this.size, left, top));
  }

  /** Show all of the image, as it is turned. */
  fit(): void {
    const [height, width] = this.extent;
    this.look(width / 2, height / 2, 0.96 * this.whole());
  }

  /** Show a place in the middle; at a zoom and turned, else as it is. */
  look(x: number, y: number, zoom = this.sight.zoom, angle = this.sight.angle): void {
    this.follow({ x, y, zoom, angle: ((angle % 360) + 360) % 360 });
    this.tell.moved(this.sight);
  }

  /** The same, of which nobody is told. */
  follow({ x, y, zoom, angle }: Sight): void {
    const [height, width] = this.extent;
    const least = 0.25 * Math.min(this.whole(), 1);
    this.sight = { x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height), zoom: Math.min(Math.max(zoom, least), CLOSEST), angle };
    this.draw();
  }

  /** The zoom at which all of the image is seen. */
  private whole(): number {
    const [height, width] = this.extent;
    const [wide, high] = flatSize([width, height], this.sight.angle);
    return Math.min(this.size[0] / wide, this.size[1] / high);
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
    const [across, down] = turned(x * this.size[0], y * this.size[1], -this.sight.angle);
    this.look(this.sight.x + across / this.sight.zoom, this.sight.y + down / this.sight.zoom);
  }

  /** Turn by steps, clockwise. */
  turnBy(steps: number): void {
    this.look(this.sight.x, this.sight.y, this.sight.zoom, this.sight.angle + steps * TURN);
  }

  /** Draw at the next frame. */
  draw(): void {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      if (this.still || !this.canvas.width || !this.canvas.height) return; // another frame comes, or it is hidden
      this.tell.said(this.scene.paint(this.context, this.screen));
      this.canvas.ariaBusy = String(this.scene.busy);
      if (this.overview) this.paintOverview(this.overview);
    });
  }

  /** The cell at a place of the image. */
  cellAt(place: readonly [number, number]): readonly [number, number] | null {
    const { cells } = this.scene;
    return cells ? cellAt(cells.result.grid, ...place) : null;
  }

  /** Outline the cell at a place of the image. */
  point(place: readonly [number, number] | null, tells = false): void {
    const { scene } = this;
    const cell = place ? this.cellAt(place) : null;
    if (cell?.[0] === scene.pointed?.[0] && cell?.[1] === scene.pointed?.[1]) return;
    scene.pointed = cell;
    if (tells) this.tell.pointed(cell, cell ? place : null);
    this.draw();
  }

  private resize(): void {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    this.size = [Math.max(1, width), Math.max(1, height)];
    [this.canvas.width, this.canvas.height] = [Math.round(width * this.ratio), Math.round(height * this.ratio)];
    this.draw();
  }

  private jump(event: PointerEvent): void {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [height, width] = this.extent;
    this.look(((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height);
  }

  private paintOverview(overview: HTMLCanvasElement): void {
    const [height, width] = this.extent;
    const scale = Math.min(180 / width, 140 / height);
    const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    if (overview.width !== wide || overview.height !== high) [overview.width, overview.height] = [wide, high];
    const context = overview.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, wide, high);
    this.scene.image?.overview(context, wide, high);
    context.lineWidth = 2;
    context.strokeStyle = "#00d8ff";
    context.beginPath();
    const [right, bottom] = this.size;
    for (const [left, top] of [[0, 0], [right, 0], [right, bottom], [0, bottom]] as const) {
      const [x, y] = toImage(this.sight, this.size, left, top);
      context.lineTo(x * scale, y * scale);
    }
    context.closePath();
    context.stroke();
  }

  /** The scale bar: its length on the screen, and what it says; along the screen, where pixels are no squares. */
  bar(place: Place): [number, string] {
    const [tall, broad] = [place.pixel_size?.[0] || 1, place.pixel_size?.[1] || 1];
    const [along, down] = turned(1, 0, -this.sight.angle);
    const own = Math.hypot(along * broad, down * tall);
    const length = roundLength((140 / this.sight.zoom) * own);
    const unit = place.pixel_size ? { micrometer: "µm", meter: "m" }[place.unit] ?? place.unit : "px";
    const [large, named] = unit === "µm" && length >= 1000 ? [1000, "mm"] : unit === "m" && length >= 1000 ? [1000, "km"] : [1, unit];
    return [(length / own) * this.sight.zoom, `${short(length / large)} ${named}`];
  }
}
