// Raw scores as the store has them, and the colours that a choice makes of them. A cell is one answer, unless it is asked for otherwise (smooth.ts).

import type { Result } from "./told";

const NO_CLASS = 65535;
const BIG_END = new Uint8Array(Uint32Array.of(1).buffer)[0] === 0;
/** A pixel as ImageData holds it. */
const pack = (red: number, green: number, blue: number, opacity: number): number =>
  (BIG_END ? (red << 24) | (green << 16) | (blue << 8) | opacity : (opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;
export const NO_ANSWER = pack(128, 128, 128, 110);
const HALVES = new Float32Array(65536);
for (let bits = 0; bits < 65536; bits++) {
  const [power, part] = [(bits >> 10) & 31, bits & 1023];
  const size = power === 31 ? (part ? NaN : Infinity) : power ? (1 + part / 1024) * 2 ** (power - 15) : part * 2 ** -24;
  HALVES[bits] = bits >> 15 ? -size : size;
}

/** What is shown of the scores. */
export interface Choice {
  /** A class by number; null: the winner of each cell. */
  plane: number | null;
  threshold: number;
  low: number;
  high: number;
  /** 256 colours of the heat, red, green, blue. */
  scale: readonly number[];
  /** Whether scores are interpolated between the centres of cells, where that can be. */
  smooth: boolean;
  /** Whether scores lie on either side of none, which shows the image alone; a threshold is of their size then. */
  diverging: boolean;
}

/** Of classes by number; null: clear. */
export type Colours = readonly (readonly [number, number, number] | null)[];

/** The colour of a score of one class, as a pixel; 0, which is clear, of one below the threshold. */
export function heat(choice: Choice): (score: number) => number {
  const steps = 255 / Math.max(choice.high - choice.low, 1e-12);
  const packed = new Uint32Array(256);
  // The lowest score shows the image alone, as in pictures that fullconv draws.
  const shade = (i: number): number => (choice.diverging ? Math.abs(2 * i - 255) : i);
  for (let i = 0; i < 256; i++) packed[i] = pack(choice.scale[3 * i] ?? 0, choice.scale[3 * i + 1] ?? 0, choice.scale[3 * i + 2] ?? 0, shade(i));
  const { diverging, threshold, low } = choice;
  return (score) => ((diverging ? Math.abs(score) : score) >= threshold ? packed[Math.round(Math.min(Math.max((score - low) * steps, 0), 255))] ?? 0 : 0);
}

interface Won {
  classes: Uint16Array;
  scores: Float32Array;
}

/** A tile's scores: of all classes, of one, or of winners. */
export class Scores {
  private won: Won | null = null;

  constructor(
    readonly rows: number,
    readonly cols: number,
    private readonly stored: Result["stored"],
    private readonly data: ArrayBuffer,
    private readonly winners: boolean,
  ) {
    const cells = rows * cols;
    if (winners) {
      if (data.byteLength !== 6 * cells) throw new Error("a tile of another size");
      this.won = { scores: new Float32Array(data, 0, cells), classes: new Uint16Array(data, 4 * cells, cells) };
    } else if (!cells || data.byteLength % (cells * this.bytes)) throw new Error("a tile of another size");
  }

  get size(): number {
    return this.data.byteLength + (this.won && !this.winners ? 6 * this.rows * this.cols : 0);
  }

  private get bytes(): number {
    return this.stored === "uint8" ? 1 : this.stored === "float16" ? 2 : 4;
  }

  private get planes(): number {
    return this.data.byteLength / (this.rows * this.cols * this.bytes);
  }

  /** One class's scores, NaN without an answer. Of winners, those that it won. */
  plane(index: number): Float32Array {
    const cells = this.rows * this.cols;
    const found = new Float32Array(cells);
    if (this.winners && this.won) {
      for (let i = 0; i < cells; i++) found[i] = this.won.classes[i] === index ? (this.won.scores[i] ?? NaN) : NaN;
      return found;
    }
    const at = (this.planes === 1 ? 0 : index) * cells;
    if (this.stored === "float32") return new Float32Array(this.data, 4 * at, cells);
    if (this.stored === "float16") {
      const raw = new Uint16Array(this.data, 2 * at, cells);
      for (let i = 0; i < cells; i++) found[i] = HALVES[raw[i] ?? 0] ?? NaN;
      return found;
    }
    const raw = new Uint8Array(this.data, at, cells);
    for (let i = 0; i < cells; i++) found[i] = raw[i] === 255 ? NaN : (raw[i] ?? 0) / 254;
    return found;
  }

  /** The winning class of each cell, 65535 without an answer, and its score. */
  winning(): Won {
    if (this.won) return this.won;
    const cells = this.rows * this.cols;
    const won = { classes: new Uint16Array(cells).fill(NO_CLASS), scores: new Float32Array(cells).fill(NaN) };
    for (let index = 0; index < this.planes; index++) {
      const plane = this.plane(index);
      for (let i = 0; i < cells; i++) {
        const score = plane[i] ?? NaN;
        if (score > (won.scores[i] ?? NaN) || (won.classes[i] === NO_CLASS && !Number.isNaN(score))) {
          won.scores[i] = score;
          won.classes[i] = index;
        }
      }
    }
    this.won = won;
    return won;
  }

  /** Red, green, blue and opacity of each cell. */
  coloured(choice: Choice, colours: Colours): ImageData {
    const made = new ImageData(this.cols, this.rows);
    const into = new Uint32Array(made.data.buffer);
    if (choice.plane === null) this.paintWinners(into, choice.threshold, colours);
    else this.paintHeat(into, choice, this.plane(choice.plane), this.winners);
    return made;
  }

  private paintWinners(into: Uint32Array, threshold: number, colours: Colours): void {
    const { classes, scores } = this.winning();
    const packed = Uint32Array.from(colours, (colour) => (colour ? pack(...colour, 255) : 0));
    for (let i = 0; i < classes.length; i++) {
      const colour = packed[classes[i] ?? NO_CLASS];
      if (colour === undefined) into[i] = NO_ANSWER;
      else if ((scores[i] ?? NaN) >= threshold) into[i] = colour;
    }
  }

  private paintHeat(into: Uint32Array, choice: Choice, plane: Float32Array, partial: boolean): void {
    const colour = heat(choice);
    for (let i = 0; i < plane.length; i++) {
      const score = plane[i] ?? NaN;
      if (!Number.isNaN(score)) into[i] = colour(score);
      else if (!partial || this.won?.classes[i] === NO_CLASS) into[i] = NO_ANSWER;
    }
  }
}
