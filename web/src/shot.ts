// A picture of what is seen, with scale bar and legend, drawn again at a resolution of its own.

import { el, plain } from "./dom";
import type { Screen } from "./geometry";
import type { Stage } from "./stage";

export interface Caption {
  title: string;
  /** The scale bar: its length in CSS pixels, and what it says. */
  bar: readonly [number, string];
  /** What is said, with the colour that means it. */
  classes: (readonly [string, string | null])[];
  /** A strip of colours with what its ends mean. */
  heat: { scale: readonly number[]; ends: readonly [string, string] } | null;
}

const FOOT = 20; // CSS pixels of a line below the picture
const STRIP = 250; // of the colours of heat, with their ends
const SWATCH = 18; // of a colour before its label
const MOST = 2 ** 27; // pixels that a browser's canvas may have
const WAITS = 60_000; // ms

/** Make it, of one or several stages side by side. */
export async function shot(stages: readonly Stage[], caption: Caption, times: number): Promise<Blob> {
  const first = stages[0];
  if (!first) throw new Error("nothing is shown");
  const [wide, high] = [stages.reduce((sum, { size }) => sum + size[0], 0), first.size[1]];
  const foot = FOOT * (1 + lines(caption.classes, wide).length) + 8;
  if (wide * (high + foot) * times ** 2 > MOST) throw new Error("the picture would be too large for a browser: choose a lower resolution");
  const page = new OffscreenCanvas(Math.round(wide * times), Math.round((high + foot) * times));
  const context = page.getContext("2d");
  if (!context) throw new Error("the browser gives no canvas");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, page.width, page.height);
  let left = 0;
  for (const stage of stages) {
    context.drawImage(await drawn(stage, times), Math.round(left * times), 0);
    left += stage.size[0];
  }
  context.scale(times, times);
  bar(context, caption.bar, high);
  footer(context, caption, wide, high);
  return page.convertToBlob({ type: "image/png" });
}

/** A stage's scene, once all of it is there. */
async function drawn(stage: Stage, times: number): Promise<OffscreenCanvas> {
  const canvas = new OffscreenCanvas(Math.round(stage.size[0] * times), Math.round(stage.size[1] * times));
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser gives no canvas");
  const screen: Screen = { ...stage.screen, ratio: times, patient: true };
  stage.still = true;
  try {
    const end = performance.now() + WAITS;
    let said = stage.scene.paint(context, screen);
    while (stage.scene.busy && performance.now() < end) {
      await new Promise((ready) => setTimeout(ready, 50));
      said = stage.scene.paint(context, screen);
    }
    if (stage.scene.busy) throw new Error("what is seen did not come within a minute");
    if (said.includes("cannot be read")) throw new Error(said);
  } finally {
    stage.still = false;
    stage.draw();
  }
  return canvas;
}

function bar(context: OffscreenCanvasRenderingContext2D, [length, text]: Caption["bar"], high: number): void {
  const [left, top] = [12, high - 42];
  context.font = "12px system-ui, sans-serif";
  const wide = Math.max(length, context.measureText(text).width) + 16;
  context.fillStyle = "rgba(255, 255, 255, 0.9)";
  context.fillRect(left, top, wide, 32);
  context.fillStyle = "#1b1f27";
  context.fillRect(left + (wide - length) / 2, top + 6, length, 4);
  context.textAlign = "center";
  context.fillText(text, left + wide / 2, top + 25);
}

function footer(context: OffscreenCanvasRenderingContext2D, { title, classes, heat }: Caption, wide: number, high: number): void {
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = "#1b1f27";
  context.font = "600 13px system-ui, sans-serif";
  const strip = heat ? STRIP + 12 : 0;
  context.fillText(plain(title), 12, high + FOOT / 2 + 4, wide - 24 - strip);
  context.font = "12px system-ui, sans-serif";
  lines(classes, wide).forEach((line, row) => {
    const middle = high + FOOT * (row + 1.5) + 4;
    for (const [x, colour, label] of line) {
      if (colour) {
        context.fillStyle = colour;
        context.fillRect(x, middle - 6, 12, 12);
        context.fillStyle = "#1b1f27";
      }
      context.fillText(label, colour ? x + SWATCH : x, middle);
    }
  });
  if (!heat) return;
  const text = heat.ends.map((end) => context.measureText(end).width) as [number, number];
  const [from, middle] = [wide - 140 - text[1] - 18, high + FOOT / 2 + 4];
  for (let i = 0; i < 128; i++) {
    context.fillStyle = `rgb(${heat.scale.slice(6 * i, 6 * i + 3).join(" ")})`;
    context.fillRect(from + i, middle - 5, 1.5, 10);
  }
  context.fillStyle = "#1b1f27";
  context.fillText(heat.ends[0], from - text[0] - 6, middle);
  context.fillText(heat.ends[1], from + 134, middle);
}

/** Colours and labels in as many lines as they need: where each begins. */
function lines(classes: Caption["classes"], wide: number): (readonly [number, string | null, string])[][] {
  const measure = new OffscreenCanvas(1, 1).getContext("2d");
  if (measure) measure.font = "12px system-ui, sans-serif";
  const made: (readonly [number, string | null, string])[][] = [];
  let x = Infinity;
  for (const [label, colour] of classes) {
    const text = plain(label).slice(0, 60);
    const long = (colour ? SWATCH : 0) + (measure?.measureText(text).width ?? 100) + 16;
    if (x + long > wide) {
      made.push([]);
      x = 12;
    }
    made[made.length - 1]?.push([x, colour, text]);
    x += long;
  }
  return made;
}

/** Save a file under a name. */
export function save(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
