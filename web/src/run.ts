// A run in progress: what it has done since the last look, how fast, and how long it takes.

import * as server from "./ask";
import type { State } from "./told";

const PAUSE = 2000;

export class Run {
  private after = 0;
  private started = 0;
  private first = 0;
  private stopped = false;

  constructor(
    private readonly number: number,
    private readonly seen: (state: State, text: string) => void,
  ) {
    void this.look();
  }

  stop(): void {
    this.stopped = true;
  }

  private async look(): Promise<void> {
    let pause = PAUSE;
    while (!this.stopped) {
      try {
        const state = await server.state(this.number, this.after);
        if (this.stopped) return;
        this.after += state.done.length;
        const behind = this.after < state.count;
        this.seen(state, this.text(state));
        if (state.finished && !behind && state.same !== null) return;
        if (state.finished && state.same === null && !behind) pause = Math.min(2 * pause, 60_000);
        if (behind) continue;
      } catch (error) {
        if (this.stopped) return;
        this.seen({ finished: true, epoch: -1, done: [], count: 0, of: 0, same: null, failed: [] }, error instanceof Error ? error.message : String(error));
        pause = Math.min(2 * pause, 60_000);
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
