// Another result beside the first, at the same place, by the class of the same name.

import * as server from "./ask";
import { CellLayer } from "./cells";
import { plain } from "./dom";
import { ImageLayer } from "./image";
import { sameClass } from "./labels";
import type { Choice } from "./scores";
import { Stage, type Told } from "./stage";
import { told } from "./point";
import type { Cell, Result } from "./told";

export class Beside {
  result: Result | null = null;
  readonly stage: Stage;
  private asked = 0;
  private id = "";

  constructor(
    private readonly panel: HTMLElement,
    canvas: HTMLCanvasElement,
    private readonly said: HTMLElement,
    private readonly name: HTMLElement,
    private readonly choice: (result: Result) => Choice,
    tell: Omit<Told, "said">,
  ) {
    this.stage = new Stage(canvas, null, { ...tell, said: (text) => (said.textContent = text) });
  }

  get shown(): boolean {
    return !this.panel.hidden;
  }

  hide(): void {
    this.asked += 1;
    [this.panel.hidden, this.result] = [true, null];
    this.stage.scene.cells = null;
  }

  /** Show a result, looked at as another stage is. */
  async open(id: string, like: Stage): Promise<void> {
    const mine = ++this.asked;
    this.panel.hidden = false;
    try {
      const { result, image } = await server.opened(id);
      if (mine !== this.asked) return;
      [this.id, this.result] = [id, result];
      this.name.textContent = plain(result.name);
      const draw = (): void => this.stage.draw();
      const { scene } = this.stage;
      scene.image = image ? new ImageLayer(image, draw) : null;
      scene.cells = new CellLayer(result, id, this.choice(result), draw);
      scene.failed = result.failed;
      this.stage.follow(like.sight);
    } catch (error) {
      if (mine === this.asked) this.said.textContent = told(error);
    }
  }

  chose(): void {
    const { cells } = this.stage.scene;
    if (cells && this.result) cells.choice = this.choice(this.result);
    this.stage.draw();
  }

  /** What it says at the cell nearest to a place, by the other's classes; null of those that it has not. */
  async scores(place: readonly [number, number], labels: readonly string[]): Promise<Cell["other"]> {
    const { result, stage } = this;
    const cell = stage.cellAt(place);
    if (!result || !cell) return null;
    const own = (await server.cell(this.id, cell[0], cell[1])).scores;
    return labels.map((_, plane) => own[sameClass(labels, plane, result.labels)] ?? null);
  }
}
