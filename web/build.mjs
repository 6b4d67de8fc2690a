// The page: one script, one style sheet and one document, into the package, where they are not committed.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";

const into = new URL("../src/fullconv/viewer/page/", import.meta.url);
await mkdir(into, { recursive: true });
await build({
  entryPoints: [new URL("src/main.ts", import.meta.url).pathname],
  outfile: new URL("page.js", into).pathname,
  bundle: true,
  minify: true,
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});
for (const name of ["index.html", "page.css"]) await copyFile(new URL(name, import.meta.url), new URL(name, into));
