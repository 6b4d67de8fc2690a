// Tiles that were asked for, the longest unused dropped first; requests for tiles that are not seen any more are taken back.

interface Kept<T> {
  value: T | null;
  failed: string;
  bytes: number;
  used: number;
  asked: AbortController | null;
  stale: boolean;
}

export class Tiles<T> {
  private readonly kept = new Map<string, Kept<T>>();
  private waiting: string[] = [];
  private running = 0;
  private clock = 0;

  constructor(
    private readonly load: (key: string, signal: AbortSignal) => Promise<T>,
    private readonly size: (value: T) => number,
    private readonly most: number,
    private readonly arrived: () => void,
    private readonly atOnce = 6,
  ) {}

  /** What is there of a tile; nothing is asked for. */
  peek(key: string): T | null {
    const found = this.kept.get(key);
    if (!found) return null;
    found.used = this.clock;
    return found.value;
  }

  /** Why a tile is not to be had; empty where it may be. */
  failure(key: string): string {
    return this.kept.get(key)?.failed ?? "";
  }

  /** Say which tiles are seen, the most wanted first: those that are missing are asked for, others not any more. */
  want(keys: readonly string[]): void {
    this.clock += 1;
    const seen = new Set(keys);
    for (const [key, each] of this.kept) {
      if (seen.has(key)) each.used = this.clock;
      else if (each.asked && each.value === null) {
        each.asked.abort();
        this.kept.delete(key);
      }
    }
    this.waiting = keys.filter((key) => {
      const found = this.kept.get(key);
      return !found || (found.stale && !found.asked);
    });
    this.next();
  }

  /** Ask anew for tiles of which this says yes, and show the old ones until then. */
  renew(which: (key: string) => boolean): void {
    for (const [key, each] of this.kept) {
      if (!which(key)) continue;
      if (each.failed) this.kept.delete(key);
      else each.stale = true;
    }
  }

  get busy(): boolean {
    return this.running > 0 || this.waiting.length > 0;
  }

  private next(): void {
    while (this.running < this.atOnce) {
      const key = this.waiting.shift();
      if (key === undefined) return;
      void this.fetch(key);
    }
  }

  private async fetch(key: string): Promise<void> {
    const asked = new AbortController();
    const before = this.kept.get(key);
    const entry: Kept<T> = { value: before?.value ?? null, failed: "", bytes: before?.bytes ?? 0, used: this.clock, asked, stale: false };
    this.kept.set(key, entry);
    this.running += 1;
    try {
      entry.value = await this.load(key, asked.signal);
      entry.bytes = this.size(entry.value);
    } catch (error) {
      if (!asked.signal.aborted) entry.failed = error instanceof Error ? error.message : String(error);
    }
    entry.asked = null;
    this.running -= 1;
    this.drop();
    this.next();
    if (!asked.signal.aborted || !this.busy) this.arrived();
  }

  private drop(): void {
    let total = 0;
    for (const each of this.kept.values()) total += each.bytes;
    if (total <= this.most) return;
    const oldest = [...this.kept].filter(([, each]) => each.used < this.clock && !each.asked).sort((a, b) => a[1].used - b[1].used);
    for (const [key, each] of oldest) {
      if (total <= this.most) return;
      total -= each.bytes;
      this.kept.delete(key);
    }
  }
}
