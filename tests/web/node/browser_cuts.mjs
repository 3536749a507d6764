/** The same in Chromium: a page of another origin imports the client from the service. */
import { createServer } from "node:http";
import { SearchClient } from "../../../app/web/client.js";
import { browser, open } from "./chromium.mjs";
import { cutting, random } from "./cutting.mjs";
import { given } from "./input.mjs";

const { service, image, runs, at_once, bytes } = given;

const site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>A page</title>"));
await new Promise((listening) => site.listen(0, "127.0.0.1", listening));

const proxies = await Promise.all(
  Array.from({ length: runs }, (_, seed) => {
    const draw = random(seed);
    const left = Array.from({ length: 1 + Math.floor(draw() * 3) }, () => 1 + Math.floor(draw() * bytes));
    return cutting(service, () => left.shift());
  }),
);
const { page } = await open(`http://127.0.0.1:${site.address().port}/`);
const found = await page.evaluate(
  async ({ module, urls, image, at_once }) => {
    const { SearchClient } = await import(module);
    const found = [];
    const left = urls.map((url, seed) => [url, seed]);
    const work = async () => {
      while (left.length) {
        const [url, seed] = left.pop();
        found[seed] = [];
        const events = new SearchClient({ url }).stream({ image, prompt: `run ${seed}`, fresh: true });
        for await (const event of events) found[seed].push(event);
      }
    };
    await Promise.all(Array.from({ length: at_once }, work));
    return found;
  },
  { module: `${service}/client.js`, urls: proxies.map(({ url }) => url), image, at_once },
);
await browser.close();

const straight = new SearchClient({ url: service });
const wrong = [];
for (const [seed, got] of found.entries()) {
  const whole = [];
  for await (const event of straight.resume(got[0].search_id)) whole.push(event);
  if (JSON.stringify(got) !== JSON.stringify(whole)) wrong.push({ seed, got: got.length, whole: whole.length });
}
for (const proxy of proxies) proxy.close();
site.close();
console.log(JSON.stringify({ runs: found.length, wrong }));
