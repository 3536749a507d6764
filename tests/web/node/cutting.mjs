/** A TCP proxy that cuts answers off, as a bad network does. */
import { connect, createServer } from "node:net";

/**
 * A proxy in front of `url`: `next()` gives the bytes of answer after which the next connection is
 * cut, or undefined for one that is left alone. Gives its address and how to close it.
 */
export async function cutting(url, next) {
  const { hostname, port } = new URL(url);
  const open = new Set();
  const server = createServer((caller) => {
    let left = next() ?? Infinity;
    if (left === 0) return caller.resetAndDestroy();
    const service = connect({ host: hostname, port });
    const end = () => {
      caller.destroy();
      service.destroy();
      open.delete(end);
    };
    open.add(end);
    caller.on("data", (data) => service.write(data));
    service.on("data", (data) => {
      const passed = data.subarray(0, Math.min(left, data.length));
      left -= passed.length;
      caller.write(passed, () => left === 0 && end());
    });
    for (const socket of [caller, service]) socket.on("error", end).on("close", end);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => {
    for (const end of [...open]) end();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
