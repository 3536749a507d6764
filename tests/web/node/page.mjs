/** What a visitor does on the page; prints what the page showed. */
import { readFileSync } from "node:fs";
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const { service, gate, file, name, screenshots } = given;
const TOKEN_S = 8;
const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** Drops a file on the page, as a visitor does who drags one from a folder. */
async function drop(page, { content = file, fileName = name, type = "image/jpeg" } = {}) {
  const data = await page.evaluateHandle(
    ([content, fileName, type]) => {
      const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], fileName, { type }));
      return transfer;
    },
    [content, fileName, type],
  );
  await page.dispatchEvent("#drop", "drop", { dataTransfer: data });
}

const text = (page, selector) => page.locator(selector).innerText();
const ask = async (page, prompt) => {
  if (prompt) await page.fill("#prompt", prompt);
  await page.click("#go");
};
const ended = (page) => page.waitForFunction(() => document.querySelector("#stop").disabled);
const events = (page, type) => page.locator("#events .type", { hasText: type }).first().waitFor();
const notes = (page, count) => page.locator("#events .cut").nth(count - 1).waitFor();
const openGate = (tag) => fetch(`${gate}/${tag}`, { method: "POST" });

/** A browser token, as a backend gets one. */
async function mint(ttl_s) {
  const headers = { Authorization: `Bearer ${given.key}`, "Content-Type": "application/json" };
  const minted = await fetch(`${service}/tokens`, { method: "POST", headers, body: JSON.stringify({ ttl_s }) });
  return (await minted.json()).token;
}

/** Rules that the page breaks (axe-core). It is run in the page's own world, where CSP holds. */
async function violations(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, nodes }) => [id, nodes.map(({ target }) => String(target))]);
}

const shot = async (page, file) => screenshots && (await page.screenshot({ path: `${screenshots}/${file}.png`, fullPage: true }));

/** All that a search left on the page. */
const shown = (page) =>
  page.evaluate(() => ({
    status: document.querySelector("#status").textContent,
    problem: document.querySelector("#problem").textContent,
    text: document.querySelector("#text").textContent,
    facts: document.querySelector("#facts").innerText,
    numbers: Array.from(document.querySelectorAll("#events li:not(.cut)"), (item) => item.value),
    types: Array.from(document.querySelectorAll("#events .type"), (item) => item.textContent),
    notes: document.querySelectorAll("#events .cut").length,
    boxes: document.querySelectorAll("#pictures rect").length,
    lang: document.documentElement.lang,
    results: Array.from(document.querySelectorAll("#results a"), (link) => ({
      href: link.href,
      title: link.querySelector(".title").textContent,
      host: link.querySelector(".host").textContent,
      loaded: (link.querySelector("img")?.naturalWidth ?? 0) > 0,
    })),
  }));

const CASES = {
  async searched() {
    const { page, complaints } = await open(`${service}/`);
    const before = await violations(page);
    await drop(page);
    await ask(page);
    await ended(page);
    await page.waitForLoadState("networkidle");
    await shot(page, "page");
    return { ...(await shown(page)), complaints, violations: [...before, ...(await violations(page))] };
  },

  async cut_twice() {
    const { page, complaints } = await open(`${service}/`);
    await drop(page);
    await ask(page, "[sim gated tag=cut]");
    await events(page, "search.created");
    for (const count of [1, 2]) {
      await page.click("#cut");
      await notes(page, count);
    }
    await openGate("cut");
    await ended(page);
    return { ...(await shown(page)), complaints };
  },

  async stopped() {
    const { page, complaints } = await open(`${service}/`);
    await drop(page);
    await ask(page, "[sim gated tag=stopped]");
    await events(page, "search.created");
    await page.click("#stop");
    await ended(page);
    return { ...(await shown(page)), complaints };
  },

  async refused() {
    const { page, complaints } = await open(`${service}/`);
    await drop(page, { content: btoa("no picture"), fileName: "notes.txt", type: "text/plain" });
    await ask(page);
    await ended(page);
    return { ...(await shown(page)), complaints, violations: await violations(page) };
  },

  async by_scenario() {
    const { page } = await open(`${service}/`);
    const found = {};
    for (const scenario of given.scenarios) {
      await page.click("#clear", { timeout: 500 }).catch(() => {});
      await drop(page);
      await ask(page, `[sim ${scenario}]`);
      await ended(page);
      found[scenario] = await shown(page);
    }
    return found;
  },

  async token_lost() {
    const { page, complaints } = await open(`${service}/`);
    await page.waitForSelector("#token-part:not([hidden])");
    const note = await text(page, "#token-note");
    await drop(page);
    const ending = await mint(TOKEN_S);
    await page.fill("#token", ending);
    await ask(page, "[sim gated tag=token]");
    await events(page, "search.created");
    const probe = { headers: { Authorization: `Bearer ${ending}` } };
    while ((await fetch(`${service}/v1/models`, probe)).status === 200) await new Promise(setImmediate);
    await page.click("#cut");
    await page.locator("#problem", { hasText: "token" }).waitFor();
    const rules = await violations(page);
    await page.fill("#token", await mint());
    await page.click("#use-token");
    await openGate("token");
    await ended(page);
    return { ...(await shown(page)), note, complaints, violations: rules };
  },

  async looks() {
    const found = {};
    const looks = {
      "page-zh": { locale: "zh-CN", viewport: { width: 1180, height: 800 } },
      "page-dark": { colorScheme: "dark", viewport: { width: 1180, height: 800 } },
      "page-phone": { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
    };
    for (const [look, options] of Object.entries(looks)) {
      const { page, complaints } = await open(`${service}/`, options);
      await drop(page);
      await ask(page);
      await ended(page);
      await page.waitForLoadState("networkidle");
      const width = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      found[look] = { ...(await shown(page)), complaints, overflow: width, violations: await violations(page) };
      await shot(page, look);
    }
    return found;
  },

  async keyboard() {
    const { page } = await open(`${service}/`);
    await page.fill("#address", given.image);
    await page.focus("#address");
    await page.keyboard.press("Enter");
    await ended(page);
    return shown(page);
  },
};

try {
  console.log(JSON.stringify(await CASES[given.case]()));
} finally {
  await browser.close();
}
