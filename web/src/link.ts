// What is looked at, as the end of the address: #x,y,zoom,class,threshold,result.

export interface Link {
  x: number;
  y: number;
  zoom: number;
  plane: number | null;
  threshold: number;
  result: number;
}

export function read(hash: string): Link | null {
  const parts = hash.replace(/^#/, "").split(",");
  const [x, y, zoom] = parts.slice(0, 3).map(Number);
  const plane = parts[3] === "w" ? null : Number(parts[3]);
  const [threshold, result] = [Number(parts[4]), Number(parts[5] ?? 0)];
  const every = [x, y, zoom, plane ?? 0, threshold, result];
  if (parts.length < 5 || !every.every((number) => Number.isFinite(number)) || !zoom || zoom <= 0) return null;
  return { x: x ?? 0, y: y ?? 0, zoom, plane, threshold, result };
}

export function write({ x, y, zoom, plane, threshold, result }: Link): string {
  const numbers = [x.toFixed(1), y.toFixed(1), Number(zoom.toPrecision(5)), plane ?? "w", Number(threshold.toPrecision(5))];
  return `#${[...numbers, ...(result ? [result] : [])].join(",")}`;
}
