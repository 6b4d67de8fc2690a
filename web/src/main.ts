// What is there, and which of it is shown: by the end of the address, the table of a study, or the only result that there is.

import * as server from "./ask";
import { need } from "./dom";
import * as link from "./link";
import { Page } from "./page";
import { told } from "./point";
import { Study } from "./study";
import type { About } from "./told";

class App {
  private page: Page | null = null;
  private turn = 0;

  constructor(private readonly about: About) {
    if (about.study) new Study(need("study", HTMLElement), about, (number) => this.chosen(number));
    window.addEventListener("hashchange", () => void this.follow());
    void this.follow();
  }

  /** Show what the address says. */
  private async follow(): Promise<void> {
    const to = link.read(location.hash);
    const known = to && to.result < this.about.results.length;
    if (!known && this.about.study) {
      this.turn += 1;
      this.choose(false);
    } else if (!this.page) await this.open(known ? to.result : 0, known ? to : null);
    else if (known && location.hash !== this.page.hash()) {
      this.turn += 1;
      this.choose(true);
      await this.page.follow(to);
    } else this.choose(true);
  }

  /** Open a result of the table, which is what lies behind it, also while it is opened. */
  private chosen(number: number): void {
    history.pushState(null, "", `#${number}`);
    void this.open(number);
  }

  /** Show a result, as a link has it or whole. */
  private async open(number: number, to: link.Link | null = null): Promise<void> {
    const mine = ++this.turn;
    try {
      const opened = await server.opened(String(number));
      if (mine !== this.turn) return;
      this.choose(true);
      if (this.page) await this.page.open(number);
      else this.page = new Page(this.about, number, opened);
      if (mine !== this.turn) return;
      if (to) await this.page.follow(to);
      else this.page.stage.fit();
      if (mine === this.turn && !link.read(location.hash)) history.replaceState(null, "", this.page.hash());
    } catch (error) {
      warn(told(error));
    }
  }

  /** Show a result, or the table. */
  private choose(result: boolean): void {
    [need("view", HTMLElement).hidden, need("study", HTMLElement).hidden] = [!result, result];
    need("nav", HTMLElement).hidden = !result;
    need("back", HTMLButtonElement).hidden = !result || !this.about.study;
    if (result) return;
    this.page?.leave();
    document.title = "fullconv";
    need("title", HTMLElement).textContent = "fullconv";
  }
}

function warn(text: string): void {
  const warning = need("problem", HTMLElement);
  [warning.textContent, warning.hidden] = [text, false];
}

server.about().then(
  (about) => new App(about),
  (error: unknown) => warn(told(error)),
);
