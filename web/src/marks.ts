// Peaks and regions on the map: boxes, and outlines of any shape, seen on light and on dark.

import { squareOf, toFlat, type Box, type Screen } from "./geometry";
import type { Canvas2D } from "./image";
import type { Grid } from "./told";

export interface Mark {
  box: Box;
  verdict: string;
  /** In pixels of the image from the box's corner; null: the box is drawn. */
  outline: Path2D | null;
  /** Whether it has the shape that is drawn. */
  whole: boolean;
  chosen: boolean;
}

const COLOURS: Record<string, string> = { accept: "#30a46c", reject: "#e5484d", relabel: "#8e6cf0" };
const UNSAID = "#ffb224";

/** Rings of corners of cells (col, row, ...) as a path from a box's corner. */
export function outlineOf(grid: Grid, rings: readonly number[][], box: Box): Path2D {
  const path = new Path2D();
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const [x, y] = squareOf(grid, ring[i + 1] ?? 0, ring[i] ?? 0);
      if (i) path.lineTo(x - box[0], y - box[1]);
      else path.moveTo(x - box[0], y - box[1]);
    }
    path.closePath();
  }
  return path;
}

export function drawMarks(context: Canvas2D, screen: Screen, marks: readonly Mark[]): void {
  for (const mark of [...marks].sort((one, other) => Number(one.chosen) - Number(other.chosen))) {
    const [left, top] = toFlat(screen, mark.box[0], mark.box[1]);
    const [right, bottom] = toFlat(screen, mark.box[2], mark.box[3]);
    if (right < 0 || bottom < 0 || left > screen.size[0] || top > screen.size[1]) continue;
    const colour = COLOURS[mark.verdict] ?? UNSAID;
    const width = mark.chosen ? 4 : 2;
    if (!mark.outline) {
      outline(context, screen, mark.box, colour, mark.whole ? [] : [2, 3], width);
      continue;
    }
    context.save();
    context.translate(left, top);
    context.scale(screen.sight.zoom, screen.sight.zoom);
    context.lineJoin = "round";
    for (const [stroke, wide] of [["rgba(0, 0, 0, 0.6)", width + 2], [colour, width]] as const) {
      context.lineWidth = wide / screen.sight.zoom;
      context.strokeStyle = stroke;
      context.stroke(mark.outline);
    }
    context.restore();
  }
}

/** The line around a box. */
export function outline(context: Canvas2D, screen: Screen, box: Box, colour: string, dash: number[], width: number): void {
  const [left, top] = toFlat(screen, box[0], box[1]);
  const [right, bottom] = toFlat(screen, box[2], box[3]);
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
