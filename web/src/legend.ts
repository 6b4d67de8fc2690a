// What colours mean: below the sliders, and in pictures that are saved.

import { el, plain, short } from "./dom";
import type { Classes } from "./classes";
import type { Choice } from "./scores";
import type { Caption } from "./shot";
import { notSmooth } from "./smooth";
import type { Result } from "./told";

const NAMED = 24; // classes of a picture's legend
const SMOOTH = "interpolated between the centres of cells";

export function legend(result: Result, choice: Choice): HTMLElement[] {
  const parts: HTMLElement[] = [];
  if (choice.plane !== null) {
    const strip = el("canvas", { width: 256, height: 1 });
    const pixels = new ImageData(256, 1);
    for (let i = 0; i < 256; i++) pixels.data.set([...choice.scale.slice(3 * i, 3 * i + 3), 255], 4 * i);
    strip.getContext("2d")?.putImageData(pixels, 0, 0);
    parts.push(el("span", {}, short(choice.low)), strip, el("span", {}, short(choice.high)));
  } else if (result.parts) {
    const { labels, colours } = result.parts;
    parts.push(...labels.map((label, i) => line(label, `rgb(${(colours[i] ?? []).join(" ")})`)));
  }
  if (isSmooth(result, choice)) parts.push(el("span", { class: "none", id: "smooth-said" }, SMOOTH));
  parts.push(el("span", { class: "none" }, [el("span", { class: "swatch none" }), "no answer"]));
  return parts;
}

const isSmooth = (result: Result, choice: Choice): boolean => choice.smooth && !notSmooth(result, choice.plane);

function line(label: string, colour: string): HTMLElement {
  const swatch = el("span", { class: "swatch" });
  swatch.style.background = colour;
  return el("span", { class: "none" }, [swatch, label]);
}

export function captionOf(result: Result, choice: Choice, bar: Caption["bar"], classes: Classes): Caption {
  const rgb = (colour: readonly number[] | undefined): string => `rgb(${(colour ?? [128, 128, 128]).join(" ")})`;
  const grey: readonly [string, string] = ["no answer", "rgb(192 192 192)"];
  if (choice.plane !== null) {
    const least = choice.threshold === -Infinity ? "" : `, ≥ ${short(choice.threshold)}`;
    const title = `${result.name} · ${result.labels[choice.plane] ?? ""}${least}`;
    const smooth = isSmooth(result, choice) ? [[SMOOTH, null] as const] : [];
    return { title, bar, classes: [grey, ...smooth], heat: { scale: choice.scale, ends: [short(choice.low), short(choice.high)] } };
  }
  const named = result.parts ? result.parts.labels.map((label, i) => [label, rgb(result.parts?.colours[i])] as const) : classes.order().slice(0, NAMED).map((i) => [plain(result.labels[i] ?? ""), rgb(result.colours[i])] as const);
  return { title: result.name, bar, classes: [...named, grey], heat: null };
}
