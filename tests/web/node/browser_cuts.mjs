/** The same in Chromium: a page of another origin reads with the client or with an EventSource. */
import { SearchClient } from "../../../app/web/client.js";
import { browser, open } from "./chromium.mjs";
import { cutting, random } from "./cutting.mjs";
import { given } from "./input.mjs";

const { service, runs, least, bytes } = given;

const proxies = await Promise.all(
  Array.from({ length: runs }, (_, seed) => {
    const draw = random(seed);
    const left = Array.from({ length: 1 + Math.floor(draw() * 3) }, () => least + Math.floor(draw() * bytes));
    return cutting(service, () => left.shift());
  }),
);
const { page } = await open(given.site);
const found = await page.evaluate(
  async ({ service, urls, image, names, at_once, reader }) => {
    const { SearchClient } = await import(`${service}/client.js`);
    const READERS = {
      async SearchClient(url, prompt) {
        const got = [];
        for await (const event of new SearchClient({ url }).stream({ image, prompt, fresh: true })) got.push(event);
        return got;
      },
      EventSource: (url, prompt) =>
        new Promise((done) => {
          const got = [];
          const source = new EventSource(`${url}/search/stream?${new URLSearchParams({ image_url: image, prompt })}`);
          for (const name of names) source.addEventListener(name, ({ data }) => got.push({ type: name, ...JSON.parse(data) }));
          // It comes back after the end as well, until 204 closes it.
          source.onerror = () => source.readyState === EventSource.CLOSED && done(got);
        }),
    };
    const found = [];
    const left = [...urls.entries()];
    const work = async () => {
      while (left.length) {
        const [seed, url] = left.pop();
        found[seed] = await READERS[reader](url, `run ${seed}`);
      }
    };
    await Promise.all(Array.from({ length: at_once }, work));
    return found;
  },
  { ...given, urls: proxies.map(({ url }) => url) },
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
console.log(JSON.stringify({ runs: found.length, wrong }));
