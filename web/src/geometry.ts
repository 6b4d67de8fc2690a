// Where cells lie, as geometry/grid.py has it, and where the screen is.
//
// Places are in pixels of the image from its upper left corner: pixel i covers [i, i + 1), and its middle, i + 0.5, is index i of the grid.

import type { Fraction, Grid } from "./told";

export const value = ([above, below]: Fraction): number => above / below;

/** Round to the nearest whole number, halves to even, of (index - first) / step; exact where the numbers are whole. */
function nearest(index: number, first: Fraction, step: Fraction, count: number): number {
  const above = (index * first[1] - first[0]) * step[1];
  const below = first[1] * step[0];
  const floor = Math.floor(above / below);
  const rest = 2 * (above - floor * below);
  const up = rest > below || (rest === below && floor % 2 !== 0);
  return Math.min(Math.max(floor + (up ? 1 : 0), 0), count - 1);
}

/** The (row, col) whose centre is nearest to a place; null outside the image or where there is no cell. */
export function cellAt(grid: Grid, x: number, y: number): [number, number] | null {
  const [height, width] = grid.image;
  if (x < 0 || y < 0 || x >= width || y >= height || !grid.rows || !grid.cols) return null;
  const [down, along] = [Math.max(y - 0.5, 0), Math.max(x - 0.5, 0)];
  return [nearest(down, grid.centre0[0], grid.stride[0], grid.rows), nearest(along, grid.centre0[1], grid.stride[1], grid.cols)];
}

/** The centre of a cell as a place. */
export function centreOf(grid: Grid, row: number, col: number): [number, number] {
  return [value(grid.centre0[1]) + col * value(grid.stride[1]) + 0.5, value(grid.centre0[0]) + row * value(grid.stride[0]) + 0.5];
}

export type Box = readonly [number, number, number, number];

/** What a cell is drawn on: as wide as the step, about its centre. */
export function squareOf(grid: Grid, row: number, col: number): Box {
  const [x, y] = centreOf(grid, row, col);
  const [high, wide] = [value(grid.stride[0]) / 2, value(grid.stride[1]) / 2];
  return [x - wide, y - high, x + wide, y + high];
}

/** What a cell's network sees, padding included. */
export function fieldOf(grid: Grid, row: number, col: number): Box {
  const [x, y] = centreOf(grid, row, col);
  const [high, wide] = [value(grid.field[0]) / 2, value(grid.field[1]) / 2];
  return [x - wide, y - high, x + wide, y + high];
}

/** The part of the image that a screen shows: its middle, screen pixels (CSS) for one of the image, and degrees by which it is turned clockwise. */
export interface Sight {
  x: number;
  y: number;
  zoom: number;
  angle: number;
}

/** What is drawn on: a sight, its (width, height) in CSS pixels, and pixels of the device for one of these; a patient one waits for any number of tiles. */
export interface Screen {
  sight: Sight;
  size: readonly [number, number];
  ratio: number;
  patient: boolean;
}

/** A step turned clockwise, as it is seen where y goes down. */
export function turned(x: number, y: number, angle: number): [number, number] {
  const [cos, sin] = [cosine(angle), cosine(angle - 90)];
  return [x * cos - y * sin, x * sin + y * cos];
}

/** Exact at right angles. */
function cosine(angle: number): number {
  const whole = ((angle % 360) + 360) % 360;
  return whole === 90 || whole === 270 ? 0 : whole === 180 ? -1 : whole === 0 ? 1 : Math.cos((whole * Math.PI) / 180);
}

/** The size of what covers a turned screen: what layers are drawn on, which know of no turn. */
export function flatSize(size: readonly [number, number], angle: number): [number, number] {
  const [cos, sin] = [Math.abs(cosine(angle)), Math.abs(cosine(angle - 90))];
  return [size[0] * cos + size[1] * sin, size[0] * sin + size[1] * cos];
}

/** Where a place of the image is on a screen that is not turned. */
export function toFlat({ sight, size }: Screen, x: number, y: number): [number, number] {
  return [(x - sight.x) * sight.zoom + size[0] / 2, (y - sight.y) * sight.zoom + size[1] / 2];
}

/** Which place of the image a screen shows at a pixel. */
export function toImage(sight: Sight, size: readonly [number, number], left: number, top: number): [number, number] {
  const [x, y] = turned(left - size[0] / 2, top - size[1] / 2, -sight.angle);
  return [x / sight.zoom + sight.x, y / sight.zoom + sight.y];
}

/** The number of steps in 1, 2, 5, 10, ... that is at most as long as asked for. */
export function roundLength(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  const share = most / power;
  return power * (share >= 5 ? 5 : share >= 2 ? 2 : 1);
}
