/** A headless Chromium, and what its pages complain of. */
import { chromium } from "playwright-core";
import { given } from "./input.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-proxy-server", "--disable-dev-shm-usage"];
const REFUSED = /^Failed to load resource: the server responded with a status of 4\d\d/;

export const browser = await chromium.launch({ executablePath: given.chromium, args: FLAGS });

/** Opens an address in a context of its own; `complaints` collects console messages and errors. */
export async function open(address, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const complaints = [];
  // Chromium itself logs each refusal, whatever the page makes of it.
  page.on("console", (message) => REFUSED.test(message.text()) || complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(address);
  return { page, complaints };
}
