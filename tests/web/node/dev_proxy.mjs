/** The page behind a development server's proxy, which rewrites `Host`: a search, and a stream. */
import { createServer } from "node:http";
import { createProxyMiddleware } from "http-proxy-middleware";
import { createServer as createVite } from "vite";
import { browser, open } from "./chromium.mjs";
import { given } from "./input.mjs";

const rule = { target: given.service, changeOrigin: true };
const PROXIES = {
  async "http-proxy-middleware"() {
    const server = createServer(createProxyMiddleware(rule));
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
    return server.address().port;
  },
  async vite() {
    const server = { host: "127.0.0.1", port: 0, hmr: false, ws: false, proxy: { "^/": rule } };
    const vite = await createVite({ configFile: false, logLevel: "error", server });
    await vite.listen();
    return vite.httpServer.address().port;
  },
};

const { page } = await open(`http://127.0.0.1:${await PROXIES[given.proxy]()}/`);
const ask = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(given.asked) };
const { status } = await page.evaluate((ask) => fetch("/search", ask).then((answer) => answer.json()), ask);

// The upstream holds its answer back until the gate opens: what was read before was not.
ask.body = JSON.stringify({ ...given.asked, prompt: "[sim gated tag=proxy]" });
const first = await page.evaluate(async (ask) => {
  const answer = await fetch("/search/stream", ask);
  globalThis.pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  return (await pieces.read()).value;
}, ask);
await fetch(given.gate, { method: "POST" });
const rest = await page.evaluate(async () => {
  let text = "";
  for (let piece; !(piece = await pieces.read()).done; ) text += piece.value;
  return text;
});
await browser.close();
console.log(JSON.stringify({ status, first, rest }));
process.exit();
