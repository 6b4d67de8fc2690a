// Every request to the server, which is the only one that the page ever speaks to. Addresses are relative: a notebook has the page behind a path.

import type { About, Blame, Cell, Finds, Opened, State, Verdict } from "./told";

async function answer(path: string, how: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, { ...how, credentials: "same-origin" });
  if (response.ok) return response;
  const text = await response.text();
  let told = text;
  try {
    told = String((JSON.parse(text) as { error: unknown }).error);
  } catch {
    // plain text it is
  }
  throw new Error(told || `the server answered ${response.status}`);
}

async function json<T>(path: string, how: RequestInit = {}): Promise<T> {
  return (await (await answer(path, how)).json()) as T;
}

function post<T>(path: string, body: unknown): Promise<T> {
  return json<T>(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

export const about = (): Promise<About> => json("api/about");
export const opened = (result: string): Promise<Opened> => json(`api/${result}/about`);
export const numbers = async (path: string, signal: AbortSignal): Promise<ArrayBuffer> => (await answer(path, { signal })).arrayBuffer();
export const picture = async (path: string, signal: AbortSignal): Promise<ImageBitmap> =>
  createImageBitmap(await (await answer(path, { signal })).blob());
export const cell = (result: string, row: number, col: number): Promise<Cell> => json(`api/${result}/cell/${row}/${col}`);
export const state = (result: string, after: number): Promise<State> => json(`api/${result}/state?after=${after}`);
export const areas = (result: string): Promise<{ cells: number[] | null }> => json(`api/${result}/areas`);
/** The best peaks or regions of a class, in an order. */
export const finds = (result: string, what: "peaks" | "regions", plane: number, threshold: number | null, order: string): Promise<Finds> =>
  json(`api/${result}/${what}/${plane}?order=${order}${threshold === null ? "" : `&threshold=${threshold}`}`);
export const verdicts = (result: string): Promise<{ verdicts: Verdict[] }> => json(`api/${result}/verdicts`);
export const say = (result: string, what: Record<string, unknown>): Promise<{ verdicts: Verdict[] }> =>
  post(`api/${result}/verdicts`, what);
export const ask = (result: string, row: number, col: number): Promise<{ crop: (number | null)[] }> =>
  post(`api/${result}/ask`, { row, col });
export const why = (result: string, row: number, col: number): Promise<Blame> => post(`api/${result}/why`, { row, col });
