// What the server tells, see viewer/described.py and viewer/server.py.

/** A fraction: numerator and denominator. */
export type Fraction = readonly [number, number];
/** (y, x). */
export type Pair = readonly [Fraction, Fraction];

export interface Grid {
  rows: number;
  cols: number;
  stride: Pair;
  crop: Pair;
  centre0: Pair;
  field: Pair;
  image: readonly [number, number];
}

export interface Place {
  pixel_size: readonly [number, number] | null;
  unit: string;
  transform: readonly number[] | null;
  crs: string | null;
}

export interface Look {
  bands: number[];
  cut: number | null;
}

export interface Picture {
  /** A result of this image, by which it is asked for. */
  of: number;
  name: string;
  width: number;
  height: number;
  levels: number;
  side: number;
  bands: number;
  type: string;
  look: Look;
}

export interface Failed {
  cells: readonly [number, number, number, number];
  why: string;
}

export interface Result {
  name: string;
  image: string;
  grid: Grid;
  lead: readonly [number, number];
  levels: readonly (readonly [number, number])[];
  side: number;
  stored: "float32" | "float16" | "uint8";
  /** Whether a tile holds all classes. */
  stacked: boolean;
  /** Whether the store holds winners alone. */
  winnersOnly: boolean;
  finished: boolean;
  labels: string[];
  /** Classes that are no finding, by number, and the threshold, as the network's card has them. */
  background: number[];
  threshold: number | null;
  colours: (readonly [number, number, number])[];
  kind: string;
  range: readonly [number, number];
  by: string;
  exactness: string;
  statement: string | null;
  scales: number[];
  place: Place;
  area: number | null;
  asks: string;
  failed: Failed[];
  epoch: number;
  /** Of a difference: what cells are instead of winners. */
  parts: { labels: string[]; colours: Result["colours"] } | null;
  /** What is to be known of a difference. */
  remarks: string[];
}

/** A class of a result where a class is shown, null where winners are: of a layer's features nothing wins, nor of one class alone. */
export const shownOf = (result: Result, plane: number | null): number | null => plane ?? (hasWinners(result) ? null : 0);

export const hasWinners = (result: Result): boolean => result.kind !== "features" && (result.parts !== null || result.winnersOnly || result.labels.length > 1);

export interface Opened {
  result: Result;
  image: Picture | null;
}

/** A result before it is opened; what the table of a study says of it, by column. */
export interface Entry {
  name: string;
  error: string;
  values: string[];
}

export interface About {
  version: string;
  scales: Record<string, number[]>;
  diverging: number[];
  study: boolean;
  columns: string[];
  results: Entry[];
}

export interface Cell {
  row: number;
  col: number;
  box: readonly [number, number, number, number];
  centre: readonly [number, number];
  scores: (number | null)[];
  /** Of a difference: the first map's. */
  other: (number | null)[] | null;
  confirmed: boolean | null;
}

export interface State {
  finished: boolean;
  epoch: number;
  done: (readonly [number, number, number, number])[];
  count: number;
  of: number;
  same: boolean | null;
  failed: Failed[];
  range: readonly [number, number];
}

/** A peak with its crop, or a region with the square of each of its cells, by its best cell. */
export interface Find {
  row: number;
  col: number;
  score: number | null;
  /** x0, y0, x1, y1 in pixels of the image: the crop, or what the region extends over. */
  box: readonly [number, number, number, number];
  region: Region | null;
}

export interface Region {
  mean: number;
  cells: number;
  /** Its outline and its holes, each as col, row, col, row ... of corners of cells; null where it has too many to be sent. */
  rings: number[][] | null;
}

export interface Finds {
  count: number;
  finds: Find[];
  /** Of regions: the least score of their cells. */
  threshold: number | null;
}

export interface Verdict {
  row: number;
  col: number;
  class: string;
  score: number | null;
  /** Of a region: how many it has. */
  cells: number | null;
  verdict: string;
  label: string;
  note: string;
}

export interface Blame {
  total: number;
  left: number;
  shares: { node: string; kind: string; alone: number; kept: number }[];
  left_out: string[];
  advice: string;
}
