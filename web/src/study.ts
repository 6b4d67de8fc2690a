// All results of a study as a table that is sorted by any of its columns; a click opens one.

import { el, plain } from "./dom";
import type { About, Entry } from "./told";

interface Row {
  number: number;
  entry: Entry;
}

export class Study {
  private column = -1; // of the table; -1: as it came
  private down = false;
  private readonly rows: Row[];
  private readonly body = el("tbody");
  private readonly heads: HTMLElement[];

  constructor(
    panel: HTMLElement,
    private readonly about: About,
    private readonly open: (number: number) => void,
  ) {
    this.rows = about.results.map((entry, number) => ({ number, entry }));
    const failed = about.results.filter((each) => each.error).length;
    this.heads = about.columns.map((name, i) => el("th", { scope: "col" }, [el("button", { type: "button", class: "sort" }, plain(name.replace(/_/g, " ")), { click: () => this.sort(i) })]));
    const head = el("tr", {}, [el("th", { scope: "col" }, [el("span", { class: "unseen" }, "picture")]), el("th", { scope: "col" }, "map"), ...this.heads]);
    const table = el("table", { class: "study" }, [el("caption", {}, `${about.results.length.toLocaleString("en")} results${failed ? `, ${failed.toLocaleString("en")} failed` : ""}`), el("thead", {}, [head]), this.body]);
    panel.replaceChildren(table);
    this.show();
  }

  private sort(column: number): void {
    this.down = column === this.column && !this.down;
    this.column = column;
    const way = this.down ? -1 : 1;
    const text = ({ entry }: Row): string => entry.values[column] ?? "";
    this.rows.sort((a, b) => order(text(a), text(b), way) || a.number - b.number);
    this.show();
  }

  private show(): void {
    this.heads.forEach((head, i) => head.setAttribute("aria-sort", i === this.column ? (this.down ? "descending" : "ascending") : "none"));
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
  }

  private row({ number, entry }: Row): HTMLElement {
    const name = plain(entry.name);
    const picture = entry.error ? [] : [el("img", { src: `api/${number}/thumbnail`, alt: "", loading: "lazy", width: 80 })];
    const link = entry.error ? el("span", {}, name) : el("button", { type: "button", class: "open" }, name, { click: () => this.open(number) });
    const why = entry.error ? [el("p", { class: "error" }, plain(entry.error))] : [];
    const values = this.about.columns.map((_, i) => el("td", { title: plain(entry.values[i] ?? "") }, plain(shown(entry.values[i] ?? ""))));
    const made = el("tr", { class: entry.error ? "failed" : "" }, [el("td", {}, picture), el("th", { scope: "row" }, [link, ...why]), ...values]);
    if (!entry.error) made.addEventListener("dblclick", () => this.open(number));
    return made;
  }
}

/** Numbers by their size, before texts; what is empty comes last either way. */
function order(one: string, other: string, way: number): number {
  if (!one || !other) return Number(!one) - Number(!other);
  const [a, b] = [Number(one), Number(other)];
  if (!Number.isNaN(a) && !Number.isNaN(b)) return way * (a - b);
  return way * (Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || one.localeCompare(other));
}

/** Long numbers short, of paths what they end with; all else as it is. */
function shown(text: string): string {
  if (/^([A-Za-z]:)?[\\/]\S/.test(text)) return text.replace(/^.*[\\/]/, "");
  return /^-?\d+\.\d{5,}$/.test(text) ? String(Number(Number(text).toPrecision(5))) : text;
}
