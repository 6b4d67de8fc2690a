// What is pressed, pushed and typed.

import type { Classes } from "./classes";
import { el, need, plain } from "./dom";
import type { Kind } from "./finds";
import { listen } from "./keys";
import type { Stage } from "./stage";
import type { About, Result } from "./told";

/** What controls change. */
export interface Chosen {
  readonly about: About;
  readonly stage: Stage;
  readonly classes: Classes;
  readonly result: Result;
  readonly least: number;
  scale: string;
  smooth: boolean;
  threshold: number;
  shade: (opacity: number) => void;
  chose: () => void;
  relist: () => void;
  list: (kind?: Kind) => void;
  take: (plane: number | null) => void;
  choose: (cell: readonly [number, number] | null) => void;
  open: (number: number) => Promise<boolean>;
  compare: (text: string) => void;
  shoot: (times: number) => Promise<void>;
}

const press = (id: string, what: () => void): void => need(id, HTMLButtonElement).addEventListener("click", what);

export function controls(page: Chosen): void {
  const { stage } = page;
  thresholds(page);
  colours(page);
  results(page);
  const full = (): void => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
  const [keys, shots] = [need("keys", HTMLDialogElement), need("shots", HTMLDialogElement)];
  press("fit", () => stage.fit());
  press("in", () => stage.zoomBy(2));
  press("out", () => stage.zoomBy(0.5));
  press("turn", () => stage.turnBy(1));
  press("full", full);
  press("help", () => keys.showModal());
  press("shot", () => shots.showModal());
  press("find", () => page.list());
  press("theme", theme);
  need("shots-form", HTMLFormElement).addEventListener("submit", (event) => {
    const pressed = event.submitter as HTMLButtonElement | null;
    if (pressed?.value === "save") void page.shoot(Number(need("times", HTMLSelectElement).value));
  });
  listen(stage, {
    class: (step) => page.take(page.classes.beside(step)),
    winners: () => page.take(null),
    map: () => need("map", HTMLInputElement).click(),
    smooth: () => need("smooth", HTMLInputElement).click(),
    middle: () => page.choose(stage.at(stage.size[0] / 2, stage.size[1] / 2)),
    none: () => page.choose(null),
    list: (kind) => page.list(kind),
    search: () => need("search", HTMLInputElement).focus(),
    full,
    help: () => keys.showModal(),
    save: () => shots.showModal(),
    back: () => page.about.study && (location.hash = ""),
  });
}

function thresholds(page: Chosen): void {
  const [slider, typed] = [need("threshold", HTMLInputElement), need("threshold-number", HTMLInputElement)];
  slider.addEventListener("input", () => {
    const high = page.result.range[1];
    page.threshold = page.least + (Number(slider.value) / Number(slider.max)) * (high - page.least);
    page.chose();
  });
  slider.addEventListener("change", () => page.relist());
  typed.addEventListener("change", () => {
    page.threshold = typed.value === "" ? page.least : typed.valueAsNumber;
    page.chose();
    page.relist();
  });
}

function colours(page: Chosen): void {
  const { stage } = page;
  const opacity = need("opacity", HTMLInputElement);
  const shade = (): void => {
    page.shade(Number(opacity.value) / 100);
    need("opacity-out", HTMLElement).textContent = `${opacity.value} %`;
  };
  opacity.addEventListener("input", shade);
  shade();
  const scale = need("scale", HTMLSelectElement);
  scale.replaceChildren(...Object.keys(page.about.scales).map((name) => el("option", { value: name }, name)));
  scale.addEventListener("change", () => {
    page.scale = scale.value;
    page.chose();
  });
  const smooth = need("smooth", HTMLInputElement);
  smooth.addEventListener("change", () => {
    page.smooth = smooth.checked;
    page.chose();
  });
  const map = need("map", HTMLInputElement);
  map.addEventListener("change", () => {
    stage.scene.showsMap = map.checked;
    stage.draw();
  });
}

/** Which result is shown, and which it is compared with; those of a study are chosen from its table, and are of other images. */
function results(page: Chosen): void {
  const { results: every, study } = page.about;
  const [chosen, compared] = [need("result", HTMLSelectElement), need("compare", HTMLSelectElement)];
  need("back", HTMLButtonElement).hidden = !study;
  press("back", () => (location.hash = ""));
  if (study || every.length < 2) return;
  chosen.hidden = compared.hidden = false;
  chosen.replaceChildren(...every.map((each, i) => el("option", { value: i }, plain(each.name))));
  const others = (): void => {
    const rest = every.map((each, i) => [i, plain(each.name)] as const).filter(([i]) => i !== Number(chosen.value));
    const kept = compared.value;
    compared.replaceChildren(
      el("option", { value: "" }, "alone"),
      ...rest.map(([i, name]) => el("option", { value: `beside${i}` }, `beside ${name}`)),
      ...rest.map(([i, name]) => el("option", { value: `less${i}` }, `${name} less this`)),
    );
    compared.value = kept;
    if (compared.selectedIndex < 0) compared.value = "";
  };
  others();
  chosen.addEventListener("change", () => {
    others();
    void page.open(Number(chosen.value));
  });
  compared.addEventListener("change", () => page.compare(compared.value));
}

/** Bands and contrast of an image. */
export function contrast(stage: Stage): void {
  const layer = stage.scene.image;
  const panel = need("contrast", HTMLElement);
  panel.hidden = !layer || (layer.about.bands === 1 && layer.about.type === "uint8");
  if (!layer) return;
  const [bands, cut] = [need("bands", HTMLInputElement), need("cut", HTMLSelectElement)];
  [bands.value, cut.value] = [layer.look.bands.join(","), layer.look.cut === null ? "none" : String(layer.look.cut)];
  bands.onchange = cut.onchange = () => {
    const numbers = bands.value.split(",").map(Number);
    const known = numbers.every((band) => Number.isInteger(band) && band >= 1 && band <= layer.about.bands);
    const sound = known && (numbers.length === 1 || numbers.length === 3);
    bands.setAttribute("aria-invalid", sound ? "false" : "true");
    bands.setCustomValidity(sound ? "" : `one band, or three with commas between, of 1 to ${layer.about.bands}`);
    if (!bands.reportValidity()) return;
    layer.look = { bands: numbers, cut: cut.value === "none" ? null : Number(cut.value) };
    stage.draw();
  };
}

function theme(): void {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}
