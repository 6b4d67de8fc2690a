// Mouse, pen and fingers: drag pans, wheel and two fingers zoom, a press without a move is a click.

interface Handlers {
  pan: (x: number, y: number) => void;
  zoom: (factor: number, left: number, top: number) => void;
  point: (left: number | null, top?: number) => void;
  click: (left: number, top: number) => void;
}

const STILL = 4; // pixels that a hand moves while it clicks

export class Moves {
  private readonly down = new Map<number, readonly [number, number]>();
  private moved = 0;

  constructor(
    private readonly target: HTMLElement,
    private readonly on: Handlers,
  ) {
    target.addEventListener("pointerdown", (event) => this.press(event));
    target.addEventListener("pointermove", (event) => this.move(event));
    target.addEventListener("pointerup", (event) => this.lift(event));
    target.addEventListener("pointercancel", (event) => this.down.delete(event.pointerId));
    target.addEventListener("pointerleave", () => this.on.point(null));
    target.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  private at(event: MouseEvent): readonly [number, number] {
    const box = this.target.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  private press(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.target.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.at(event));
    this.moved = this.down.size > 1 ? Infinity : 0;
  }

  private move(event: PointerEvent): void {
    const now = this.at(event);
    const before = this.down.get(event.pointerId);
    if (!before) {
      this.on.point(...now);
      return;
    }
    const others = [...this.down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    this.down.set(event.pointerId, now);
    const [x, y] = [now[0] - before[0], now[1] - before[1]];
    this.moved += Math.hypot(x, y);
    const other = others[0];
    if (other) {
      const [was, is] = [before, now].map((at) => Math.max(8, Math.hypot(at[0] - other[0], at[1] - other[1]))) as [number, number];
      this.on.pan(x / 2, y / 2);
      this.on.zoom(is / was, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (this.moved > STILL) this.on.pan(x, y);
  }

  private lift(event: PointerEvent): void {
    if (this.down.delete(event.pointerId) && this.moved <= STILL) this.on.click(...this.at(event));
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
    this.on.zoom(2 ** (-Math.max(-240, Math.min(240, event.deltaY * lines)) / 240), ...this.at(event));
  }
}
