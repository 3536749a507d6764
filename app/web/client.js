/**
 * Browser client of imagesearch-proxy: search by image, streamed, resumed after a cut.
 * Types are in client.d.ts, guidance in docs/clients.md.
 */

const LAST = ["search.completed", "search.failed", "search.cancelled"];
const SILENCE_MS = 60_000; // The service sends a sign of life every 5 to 15 s.
const UPLOAD_MS = 240_000; // Until a search's first byte; the service gives an upload 120 s.
const LONGEST_WAIT_S = 30;

/** A refusal, a failed search, or a connection lost for good: the problem's fields and `result`. */
export class SearchError extends Error {
  constructor(problem, options) {
    super(problem.detail, options);
    Object.assign(this, problem, { name: "SearchError" });
  }
}

export class SearchClient {
  #url;
  #token;
  #fetch;
  #retries;
  #cached;

  /** `retries`: most attempts in a row that bring nothing new. */
  constructor({ url = new URL(".", import.meta.url), token, fetch = globalThis.fetch, retries = 5 } = {}) {
    this.#url = String(url).replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetch.bind(globalThis);
    this.#retries = retries;
  }

  /** Starts a search and yields its events. */
  stream(fields, { signal, key = newKey() } = {}) {
    const [body, headers] = encode(fields);
    return this.#follow({ method: "POST", body, headers: { ...headers, "Idempotency-Key": key } }, "", signal);
  }

  /** Yields the events of a search after number `after`; nothing is started. */
  resume(id, after = 0, { signal } = {}) {
    return this.#follow(null, `${id}:${after}`, signal);
  }

  /** Starts a search and gives its SearchResult. */
  async search(fields, { onResults, onText, onProgress, ...options } = {}) {
    let item, text = "";
    for await (const event of this.stream(fields, options)) {
      const { type, ...data } = event;
      if (type === "search.results") onResults?.(event);
      else if (type === "search.progress") onProgress?.(event);
      else if (type === "response.output_text.delta") {
        text = item === event.item_id ? text + event.delta : event.delta;
        item = event.item_id;
        onText?.(event.delta, text);
      } else if (type === "search.failed") throw new SearchError({ ...data.error, result: data.result });
      else if (LAST.includes(type)) return data;
    }
  }

  /** Stops a search, or leaves it to others who share it; gives its SearchResult. */
  async cancel(id, { signal } = {}) {
    const response = await this.#send(`/search/${id}`, { method: "DELETE", signal });
    if (response.ok) return response.json();
    throw await refusal(response);
  }

  async *#follow(post, seen, signal) {
    let failures = 0, pause = 1000, cause;
    for (;;) {
      signal?.throwIfAborted();
      const attempt = new AbortController();
      const abort = () => attempt.abort(signal.reason);
      signal?.addEventListener("abort", abort);
      let silence, wait = 0;
      const alive = (ms) => {
        clearTimeout(silence);
        silence = setTimeout(() => attempt.abort(), ms);
      };
      try {
        alive(seen ? SILENCE_MS : UPLOAD_MS);
        const headers = { Accept: "text/event-stream", ...(seen ? { "Last-Event-ID": seen } : post.headers) };
        const response = await this.#send(seen ? `/search/${seen.split(":")[0]}/stream` : "/search/stream", {
          ...(seen ? {} : post),
          headers,
          signal: attempt.signal,
        });
        if (response.status === 204) return;
        if (response.ok) {
          for await (const { id, retry, data, event } of frames(response.body, alive)) {
            pause = retry || pause;
            if (!data) continue;
            clearTimeout(silence);
            const value = { type: event, ...JSON.parse(data) };
            failures = 0;
            seen = id || seen;
            yield value;
            if (LAST.includes(value.type)) return;
            alive(SILENCE_MS);
          }
        } else {
          cause = await refusal(response, seen && "no");
          wait = cause.retry_after;
          if (!cause.retryable || cause.billed !== "no" || wait > LONGEST_WAIT_S) throw cause;
        }
      } catch (error) {
        if (error instanceof SearchError && !signal?.aborted) throw error;
        cause = error;
      } finally {
        clearTimeout(silence);
        signal?.removeEventListener("abort", abort);
        attempt.abort();
      }
      signal?.throwIfAborted();
      if (++failures > this.#retries) throw cause instanceof SearchError ? cause : lost(cause, seen);
      const backoff = Math.min((pause / 1000) * 2 ** (failures - 1), LONGEST_WAIT_S) * (0.5 + Math.random() / 2);
      await sleep(wait || backoff, signal);
    }
  }

  /** A lost token is renewed once; the second refusal stands. */
  async #send(path, request) {
    const renewable = typeof this.#token === "function";
    for (let refresh = false; ; refresh = true) {
      if (!renewable) this.#cached = this.#token;
      else if (refresh || !this.#cached) this.#cached = await this.#token({ refresh });
      const headers = { ...request.headers };
      if (this.#cached) headers.Authorization = `Bearer ${this.#cached}`;
      const response = await this.#fetch(this.#url + path, { ...request, headers });
      if (response.status !== 401 || refresh || !renewable) return response;
    }
  }
}

/** Server-sent events of a body, each when its blank line has come. */
async function* frames(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive(SILENCE_MS);
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      yield* blocks.map(fieldsOf);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fieldsOf(block) {
  const frame = {};
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^([^:]+): ?(.*)$/s) || [];
    if (name) frame[name] = name in frame ? `${frame[name]}\n${value}` : value;
  }
  return frame;
}

/** The request's body and headers: JSON, or multipart when there are files. */
function encode({ image, ...fields }) {
  const images = [image ?? []].flat();
  const files = images.filter((one) => one instanceof Blob);
  const urls = [fields.image_url ?? [], images.filter((one) => !(one instanceof Blob)).map(String)].flat();
  if (urls.length) fields.image_url = urls;
  if (!files.length) return [JSON.stringify(fields), { "Content-Type": "application/json" }];
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one != null) form.append(name, one);
  }
  for (const file of files) form.append("image", file);
  return [form, {}];
}

async function refusal(response, billed) {
  const { status } = response;
  const problem = await response.json().catch(() => null);
  return new SearchError({
    detail: `HTTP ${status}`,
    status,
    retryable: status === 429 || status > 501,
    billed: billed || "maybe",
    ...problem,
  });
}

const lost = (cause, seen) =>
  new SearchError(
    {
      code: "connection_lost",
      detail: "The connection is lost.",
      retryable: true,
      billed: "maybe",
      search_id: seen.split(":")[0] || undefined,
    },
    { cause },
  );

const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const sleep = (s, signal) =>
  new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      signal?.aborted ? reject(signal.reason) : resolve();
    };
    const timer = setTimeout(done, s * 1000);
    signal?.addEventListener("abort", done);
  });
