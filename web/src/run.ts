// A result while it is looked at: what a run in progress has done since the last look, how fast, and how long it takes; and whether another took its place.

import * as server from "./ask";
import type { State } from "./told";

const PAUSE = 2000; // ms between two looks at a run
const RARELY = 15_000; // at what is finished
const AGAIN = 4000; // at what could not be had

export class Run {
  private after = 0;
  private started = 0;
  private first = 0;
  private stopped = false;
  private lost = false;

  /** `seen` is told what is so now, and whether it could not be had the time before. */
  constructor(
    private readonly id: string,
    private readonly seen: (state: State | null, text: string, back: boolean) => void,
  ) {
    void this.look();
  }

  stop(): void {
    this.stopped = true;
  }

  private async look(): Promise<void> {
    while (!this.stopped) {
      let pause = PAUSE;
      try {
        const state = await server.state(this.id, this.after);
        if (this.stopped) return;
        this.after += state.done.length;
        this.seen(state, this.text(state), this.lost);
        this.lost = false;
        if (this.after < state.count) continue;
        if (state.finished) pause = RARELY;
      } catch (error) {
        if (this.stopped) return;
        this.lost = true;
        this.seen(null, error instanceof Error ? error.message : String(error), false);
        pause = AGAIN;
      }
      await new Promise((ready) => setTimeout(ready, pause));
    }
  }

  private text(state: State): string {
    if (state.finished) return "";
    const now = performance.now() / 1000;
    if (!this.started) [this.started, this.first] = [now, state.count];
    const rate = (state.count - this.first) / Math.max(now - this.started, 1e-3);
    const speed = rate > 0 ? ` · ${rate >= 1 ? rate.toFixed(1) : (60 * rate).toFixed(1)} tiles a ${rate >= 1 ? "second" : "minute"} · ${duration((state.of - state.count) / rate)} left` : "";
    return `running: ${state.count} of ${state.of} tiles${speed}`;
  }
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
