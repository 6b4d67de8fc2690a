// The keyboard, wherever it is not typed into a field.

import type { Kind } from "./finds";
import type { Stage } from "./stage";

export interface Keys {
  class: (step: number) => void;
  winners: () => void;
  map: () => void;
  smooth: () => void;
  middle: () => void;
  none: () => void;
  list: (kind: Kind) => void;
  search: () => void;
  full: () => void;
  help: () => void;
  save: () => void;
  back: () => void;
}

const PAN = 0.15; // of the screen

export function listen(stage: Stage, on: Keys): void {
  const keys: Record<string, () => void> = {
    ArrowLeft: () => stage.panBy(-PAN, 0),
    ArrowRight: () => stage.panBy(PAN, 0),
    ArrowUp: () => stage.panBy(0, -PAN),
    ArrowDown: () => stage.panBy(0, PAN),
    "+": () => stage.zoomBy(1.5),
    "=": () => stage.zoomBy(1.5),
    "-": () => stage.zoomBy(1 / 1.5),
    "0": () => stage.fit(),
    "[": () => on.class(-1),
    "]": () => on.class(1),
    w: on.winners,
    m: on.map,
    i: on.smooth,
    p: () => on.list("peaks"),
    g: () => on.list("regions"),
    f: on.full,
    "/": on.search,
    "?": on.help,
    s: on.save,
    b: on.back,
    r: () => stage.turnBy(1),
    R: () => stage.turnBy(-1),
    Escape: on.none,
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, dialog, textarea")) return;
    const own = event.key === "Enter" && target === stage.canvas ? on.middle : keys[event.key];
    if (!own || (event.key.startsWith("Arrow") && target.closest("#left, #right"))) return;
    event.preventDefault();
    own();
  });
}
