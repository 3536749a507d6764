// Runs a program in a page of Chromium, and prints what it hands to `done`. Arguments: the program,
// and `name=package` for each package that takes the place of another. Its `env` is this one's.
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [, , program, ...replaced] = process.argv;
const { outputFiles } = await build({
  entryPoints: [program],
  bundle: true,
  write: false,
  format: "iife",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  alias: Object.fromEntries(replaced.map((pair) => pair.split("="))),
  nodePaths: ["node_modules"],
  logLevel: "error",
});
const { CHROMIUM, SITE } = process.env;
const args = ["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage"];
const browser = await chromium.launch({ executablePath: CHROMIUM, args });
const page = await browser.newPage();
page.on("pageerror", (error) => console.error(error));
page.on("console", (message) => console.error(message.text()));
await page.goto(SITE);
await page.evaluate((env) => Object.assign(globalThis, { env }), { ...process.env });
const told = page.evaluate(`new Promise((done) => { globalThis.done = done;\n${outputFiles[0].text}\n})`);
console.log(JSON.stringify(await told));
await browser.close();
