// What is looked at, as the end of the address: #x,y,zoom,class,threshold,result,angle,compared,interpolated.

const SMOOTH = "i";

export interface Link {
  x: number;
  y: number;
  zoom: number;
  plane: number | null;
  threshold: number;
  result: number;
  angle: number;
  compared: Compared | null;
  smooth: boolean;
}

/** Another result, by number: beside the first, or less the first. */
export interface Compared {
  how: "beside" | "less";
  with: number;
}

export function read(hash: string): Link | null {
  const parts = hash.replace(/^#/, "").split(",");
  const [x, y, zoom, , threshold, result = 0, angle = 0] = parts.slice(0, 7).map(Number);
  const plane = parts[3] === "w" ? null : Number(parts[3]);
  if (parts.length < 5 || ![x, y, zoom, plane ?? 0, threshold, result, angle].every((number) => Number.isFinite(number)) || !zoom || zoom <= 0) return null;
  return { x: x ?? 0, y: y ?? 0, zoom, plane, threshold: threshold ?? 0, result, angle, compared: compared(parts[7] ?? ""), smooth: parts[8] === SMOOTH };
}

export function write({ x, y, zoom, plane, threshold, result, angle, compared, smooth }: Link): string {
  const numbers = [x.toFixed(1), y.toFixed(1), Number(zoom.toPrecision(5)), plane ?? "w", Number(threshold.toPrecision(5))];
  const rest = [result, angle, compared ? `${compared.how}${compared.with}` : "", smooth ? SMOOTH : ""];
  while (rest.length && !rest[rest.length - 1]) rest.pop();
  return `#${[...numbers, ...rest].join(",")}`;
}

export function compared(text: string): Compared | null {
  const found = /^(beside|less)(\d{1,6})$/.exec(text);
  return found ? { how: found[1] === "less" ? "less" : "beside", with: Number(found[2]) } : null;
}
