/** Searches whose connections are cut at random bytes; prints what differs from the whole streams. */
import { SearchClient } from "../../../app/web/client.js";
import { cutting, random } from "./cutting.mjs";
import { given } from "./input.mjs";

const { service, image, runs, at_once, bytes } = given;
const straight = new SearchClient({ url: service });
let cuts = 0;

async function run(seed) {
  const draw = random(seed);
  const left = Array.from({ length: 1 + Math.floor(draw() * 3) }, () => Math.floor(draw() * bytes));
  const proxy = await cutting(service, () => {
    if (left.length) cuts += 1;
    return left.shift();
  });
  try {
    const client = new SearchClient({ url: proxy.url });
    const got = [];
    for await (const event of client.stream({ image, prompt: `run ${seed}`, fresh: true })) got.push(event);
    const whole = [];
    for await (const event of straight.resume(got[0].search_id)) whole.push(event);
    return JSON.stringify(got) === JSON.stringify(whole) ? null : { seed, got: got.length, whole: whole.length };
  } catch (error) {
    return { seed, error: String(error.cause ?? error) };
  } finally {
    proxy.close();
  }
}

const seeds = Array.from({ length: runs }, (_, seed) => seed);
const wrong = [];
await Promise.all(
  Array.from({ length: at_once }, async () => {
    while (seeds.length) wrong.push(await run(seeds.pop()));
  }),
);
console.log(JSON.stringify({ cuts, wrong: wrong.filter(Boolean) }));
