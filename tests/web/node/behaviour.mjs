/** One case of the browser client's behaviour by name; prints what came of it. */
import { SearchClient, SearchError } from "../../../app/web/client.js";
import { cutting } from "./cutting.mjs";
import { given } from "./input.mjs";

const { service, image, prompt = "What is this?" } = given;
const asked = [];
const tokens = [];

/** `fetch`, with a note of each request. */
const noting = (address, request) => {
  const { method = "GET", headers } = request;
  asked.push([method, new URL(address).pathname.replace(/srch_\w+/, "{id}"), headers["Idempotency-Key"] ?? null]);
  return fetch(address, request);
};
const client = (options) => new SearchClient({ url: service, fetch: noting, ...options });

async function all(events) {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}

/** What was thrown, with the fields that an error has. */
async function thrown(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.name, message: error.message, isSearchError: error instanceof SearchError, ...error };
  }
}

/** A response that holds these pieces, for a client that gets it in place of the network's. */
const response = (...pieces) => {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
};

const CASES = {
  async upload() {
    const token = async ({ refresh }) => {
      tokens.push(refresh);
      const headers = { Authorization: `Bearer ${given.key}`, "Content-Type": "application/json" };
      const minted = await fetch(`${service}/tokens`, { method: "POST", headers, body: "{}" });
      return (await minted.json()).token;
    };
    const file = new File([Buffer.from(given.file, "base64")], "photo.jpg");
    const texts = [], found = [], phases = [];
    const result = await client({ token }).search(
      { image: [file, new URL(image)], prompt, thinking: false },
      {
        onText: (delta, whole) => texts.push([delta, whole]),
        onResults: ({ results }) => found.push(...results),
        onProgress: ({ phase }) => phases.push(phase),
      },
    );
    return { result, texts, found, phases, tokens };
  },

  async refreshed() {
    const token = ({ refresh }) => {
      tokens.push(refresh);
      return refresh ? given.key : "lost";
    };
    const events = await all(client({ token }).stream({ image }));
    return { tokens, last: events.at(-1).type };
  },

  async refused_twice() {
    const token = ({ refresh }) => {
      tokens.push(refresh);
      return "lost";
    };
    return { error: await thrown(client({ token }).search({ image })), tokens };
  },

  async aborted_while_it_streams() {
    const stopping = new AbortController();
    const error = await thrown(
      (async () => {
        for await (const _ of client().stream({ image, prompt }, { signal: stopping.signal })) stopping.abort();
      })(),
    );
    return { error };
  },

  async aborted_while_it_waits() {
    const stopping = new AbortController();
    const failing = async (address, request) => {
      // The client has seen the failure, and waits, when this turn of the loop has ended.
      setTimeout(() => stopping.abort(), 20);
      await noting(address, request).catch(() => {});
      throw new TypeError("network error");
    };
    return { error: await thrown(client({ fetch: failing }).search({ image }, { signal: stopping.signal })) };
  },

  async aborted_before() {
    return { error: await thrown(client().search({ image }, { signal: AbortSignal.abort() })) };
  },

  async seen_to_its_end() {
    const events = await all(client().stream({ image }));
    const { search_id } = events[0];
    return {
      rest: await all(client().resume(search_id, events.length)),
      tail: (await all(client().resume(search_id, events.length - 1))).map(({ type }) => type),
    };
  },

  async failed() {
    return { error: await thrown(client().search({ image, prompt })) };
  },

  async failed_stream() {
    return { last: (await all(client().stream({ image, prompt }))).at(-1) };
  },

  async cancelled() {
    const events = [];
    let result;
    for await (const event of client().stream({ image, prompt })) {
      events.push(event.type);
      if (event.type === "search.created") result = await client().cancel(event.search_id);
    }
    return { events, result, unknown: await thrown(client().cancel("srch_" + "0".repeat(32))) };
  },

  async lost_for_good() {
    return { error: await thrown(client({ url: "http://127.0.0.1:9", retries: 0 }).search({ image })) };
  },

  async never_anew() {
    // Cut in mid-stream, and then the service does not know the search.
    const proxy = await cutting(service, () => undefined);
    const events = [];
    const elsewhere = (address, request) =>
      asked.length ? noting(`${service}/search/srch_${"0".repeat(32)}/stream`, request) : noting(address, request);
    const cut = async (address, request) => {
      const answer = await elsewhere(address, request);
      if (!answer.ok) return answer;
      const reader = answer.body.getReader();
      const { value } = await reader.read();
      await reader.cancel();
      return response(value);
    };
    const error = await thrown(
      (async () => {
        for await (const event of client({ fetch: cut }).stream({ image, prompt })) events.push(event.type);
      })(),
    );
    proxy.close();
    return { error, started: events[0] };
  },

  async odd_frames() {
    const bytes = new TextEncoder().encode(
      ': keep-alive\nretry: 10\nevent: a\ndata: {"text":"x\u2028y é"}\nid: srch_1:1\n\n' +
        ': keep-alive\nevent: b\ndata: {"type":\ndata: "b"}\nid: srch_1:2\n\n' +
        'event: search.cancelled\ndata: {"type":"search.cancelled"}\nid: srch_1:3\n\n',
    );
    const byByte = async () => response(...Array.from(bytes, (byte) => new Uint8Array([byte])));
    return { events: await all(client({ fetch: byByte }).stream({ image })) };
  },

  async gateway_in_the_way() {
    // Something in between refuses without a problem: a resume may come again, a POST may not.
    const answers = [new Response("<h1>Bad gateway</h1>", { status: 502 })];
    const posted = await thrown(all(client({ fetch: async () => answers.shift() }).stream({ image })));
    const resumed = [new Response("<h1>Bad gateway</h1>", { status: 502 }), new Response(null, { status: 204 })];
    const rest = await all(client({ fetch: async () => resumed.shift() }).resume("srch_1", 5));
    return { posted, rest };
  },

  async far_too_often() {
    const answer = { code: "rate_limited", detail: "Later.", retryable: true, billed: "no", retry_after: 3600 };
    return { error: await thrown(all(client({ fetch: async () => Response.json(answer, { status: 429 }) }).stream({ image }))) };
  },
};

console.log(JSON.stringify({ ...(await CASES[given.case]()), asked }));
