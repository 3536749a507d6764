/** Opens addresses in Chromium; prints what each page says, and what the console says of it. */
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const found = {};
for (const { url, until } of given.pages) {
  const { page, complaints } = await open(url);
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.reload();
  await page.locator(until).first().waitFor({ state: "attached" });
  found[url] = { complaints, text: await page.locator("body").innerText(), asked };
}
await browser.close();
console.log(JSON.stringify(found));
