// Scores between the centres of cells, by how near these are: of one class, and of cells that have an answer alone.

import { heat, NO_ANSWER, type Choice, type Scores } from "./scores";
import type { Result } from "./told";

/** Why the scores of a class, or winners (null), are not interpolated; empty where they can be. */
export function notSmooth(result: Result, plane: number | null): string {
  if (result.winnersOnly) return "Only winners are stored: what their neighbours score is not known.";
  return plane === null ? "A winner is of one cell: choose a class." : "";
}

/** The scores of a class in a tile, and around it one cell of its neighbours (rows and columns from -1 to 1), NaN where nothing is. */
export function bordered(tile: Scores, neighbour: (down: number, along: number) => Scores | null, plane: number): Float32Array {
  const wide = tile.cols + 2;
  const into = new Float32Array(wide * (tile.rows + 2)).fill(NaN);
  for (let down = -1; down <= 1; down++) {
    for (let along = -1; along <= 1; along++) {
      const from = down || along ? neighbour(down, along) : tile;
      if (!from) continue;
      const scores = from.plane(plane);
      const [first, last] = down ? [down < 0 ? from.rows - 1 : 0, down < 0 ? from.rows : 1] : [0, tile.rows];
      const [start, end] = along ? [along < 0 ? from.cols - 1 : 0, along < 0 ? from.cols : 1] : [0, tile.cols];
      const [top, left] = [down < 0 ? 0 : down ? tile.rows + 1 : 1, along < 0 ? 0 : along ? tile.cols + 1 : 1];
      for (let row = first; row < last; row++)
        into.set(scores.subarray(row * from.cols + start, row * from.cols + end), (top + row - first) * wide + left);
    }
  }
  return into;
}

type Corners = readonly [number, number, number, number]; // left, top, right, bottom

/** Some whole pixels of a tile that reaches from corner to corner of a canvas: each has the colour of the score at its middle. */
export function interpolated(scores: Float32Array, size: readonly [number, number], [left, top, right, bottom]: Corners, pixels: Corners, choice: Choice): ImageData {
  const [wide, high] = [pixels[2] - pixels[0], pixels[3] - pixels[1]];
  const within = (at: number, count: number): number => Math.min(Math.max(at, 0), count - 1e-6) + 0.5;
  const made = new ImageData(wide, high);
  const into = new Uint32Array(made.data.buffer);
  const colour = heat(choice);
  const row = size[1] + 2;
  // Of every column: the cell left of a pixel's middle, how far behind its centre that is, and the cell that the pixel is of.
  const [before, behind, own] = [new Int32Array(wide), new Float64Array(wide), new Int32Array(wide)];
  for (let x = 0; x < wide; x++) {
    const at = within(((x + pixels[0] + 0.5 - left) / (right - left)) * size[1], size[1]);
    before[x] = Math.floor(at);
    behind[x] = at - Math.floor(at);
    own[x] = Math.round(at);
  }
  for (let y = 0; y < high; y++) {
    const at = within(((y + pixels[1] + 0.5 - top) / (bottom - top)) * size[0], size[0]);
    const [above, down, mine] = [Math.floor(at) * row, at - Math.floor(at), Math.round(at) * row];
    for (let x = 0; x < wide; x++) {
      const [i, along] = [above + (before[x] ?? 0), behind[x] ?? 0];
      const high0 = (scores[i] ?? NaN) * (1 - along) + (scores[i + 1] ?? NaN) * along;
      const high1 = (scores[i + row] ?? NaN) * (1 - along) + (scores[i + row + 1] ?? NaN) * along;
      let score = high0 * (1 - down) + high1 * down;
      if (Number.isNaN(score)) score = known(scores, i, row, along, down, scores[mine + (own[x] ?? 0)] ?? NaN);
      into[y * wide + x] = Number.isNaN(score) ? NO_ANSWER : colour(score);
    }
  }
  return made;
}

/** The same of four cells some of which have no answer, which do not count; none where the pixel's own cell has none. */
function known(scores: Float32Array, i: number, row: number, along: number, down: number, own: number): number {
  if (Number.isNaN(own)) return NaN;
  let [sum, weights] = [0, 0];
  for (let corner = 0; corner < 4; corner++) {
    const score = scores[i + (corner & 1) + (corner >> 1) * row] ?? NaN;
    const weight = (corner & 1 ? along : 1 - along) * (corner >> 1 ? down : 1 - down);
    if (weight === 0 || Number.isNaN(score)) continue;
    sum += weight * score;
    weights += weight;
  }
  const score = sum / weights;
  return Number.isNaN(score) ? own : score;
}
