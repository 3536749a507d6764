/** Runs a program in a page; prints its value, and what was asked of the service meanwhile. */
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const { page } = await open(given.site);
const asked = [];
page.on("request", (request) => {
  const { origin, pathname } = new URL(request.url());
  if (origin === given.service) asked.push([request.method(), pathname]);
});
const value = await page.evaluate(given.program);
await browser.close();
console.log(JSON.stringify({ value, asked }));
