/**
 * Browser client of imagesearch-proxy: search by image, streamed, resumed after a cut.
 * Types are in client.d.ts, guidance in docs/clients.md.
 */

const LAST = ["search.completed", "search.failed", "search.cancelled"];
const SILENCE_MS = 60_000; // The service sends a sign of life every 5 to 15 s.
const LONGEST_WAIT_MS = 30_000;

/** A refusal, a failed search, or a connection that is lost for good: the problem's fields and `result`. */
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

  /**
   * `url`: the service's address, by default where this module came from. `token`: a string, or an
   * async function of `{refresh}`. `retries`: most attempts in a row that bring nothing new.
   */
  constructor({ url = new URL(".", import.meta.url), token, fetch = globalThis.fetch, retries = 5 } = {}) {
    this.#url = String(url).replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetch.bind(globalThis);
    this.#retries = retries;
  }

  /** Starts a search and yields its events. Throws SearchError, or AbortError when `signal` aborts. */
  stream(fields, { signal, key = newKey() } = {}) {
    const [body, headers] = encode(fields);
    const post = { method: "POST", body, headers: { ...headers, "Idempotency-Key": key } };
    return this.#follow(post, "", signal);
  }

  /** Yields the events of a search behind number `after`; nothing is started, nothing is paid. */
  resume(id, after = 0, { signal } = {}) {
    return this.#follow(null, `${id}:${after}`, signal);
  }

  /** Starts a search and gives its SearchResult; a failed one throws SearchError. */
  async search(fields, { onResults, onText, onProgress, ...options } = {}) {
    let item, text;
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
    for (let refresh = false; ; refresh = true) {
      const response = await this.#send(`/search/${id}`, { method: "DELETE", signal }, refresh);
      if (response.ok) return response.json();
      if (refresh || !this.#renewable(response)) throw await refusal(response);
    }
  }

  async *#follow(post, seen, signal) {
    let failures = 0, pause = 1000, refresh = false, cause;
    for (;;) {
      signal?.throwIfAborted();
      const attempt = new AbortController();
      const abort = () => attempt.abort(signal.reason);
      signal?.addEventListener("abort", abort);
      let silence, wait = 0;
      const alive = () => {
        clearTimeout(silence);
        silence = setTimeout(() => attempt.abort(), SILENCE_MS);
      };
      try {
        const headers = { Accept: "text/event-stream", ...(seen ? { "Last-Event-ID": seen } : post.headers) };
        const request = { ...(seen ? {} : post), headers, signal: attempt.signal };
        alive();
        const response = await this.#send(seen ? `/search/${seen.split(":")[0]}/stream` : "/search/stream", request, refresh);
        if (response.status === 204) return;
        if (response.ok) {
          refresh = false;
          for await (const { id, retry, data, event } of frames(response.body, alive)) {
            pause = retry || pause;
            if (!data) continue;
            clearTimeout(silence);
            failures = 0;
            seen = id || seen;
            const value = { type: event, ...JSON.parse(data) };
            yield value;
            if (LAST.includes(value.type)) return;
            alive();
          }
        } else if (!refresh && this.#renewable(response)) {
          refresh = true;
          continue;
        } else {
          const error = await refusal(response);
          if (!error.retryable || error.billed !== "no") throw error;
          wait = error.retry_after * 1000;
          cause = error;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof SearchError) throw error;
        cause = error;
      } finally {
        clearTimeout(silence);
        signal?.removeEventListener("abort", abort);
        attempt.abort();
      }
      if (++failures > this.#retries) throw cause instanceof SearchError ? cause : lost(cause, seen);
      await sleep(wait || Math.min(pause * 2 ** (failures - 1), LONGEST_WAIT_MS) * (0.5 + Math.random() / 2), signal);
    }
  }

  async #send(path, request, refresh) {
    const headers = { ...request.headers };
    if (typeof this.#token === "function") {
      if (refresh || !this.#cached) this.#cached = await this.#token({ refresh });
    } else this.#cached = this.#token;
    if (this.#cached) headers.Authorization = `Bearer ${this.#cached}`;
    return this.#fetch(this.#url + path, { ...request, headers });
  }

  #renewable(response) {
    return response.status === 401 && typeof this.#token === "function";
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
      alive();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) yield fieldsOf(block);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fieldsOf(block) {
  const frame = {};
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^([^:]+): ?(.*)$/) || [];
    if (name === "data" && frame.data !== undefined) frame.data += `\n${value}`;
    else if (name) frame[name] = value;
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

async function refusal(response) {
  const problem = await response.json().catch(() => null);
  return new SearchError({
    detail: `HTTP ${response.status}`,
    status: response.status,
    retryable: response.status === 429 || response.status > 501,
    billed: "maybe",
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

const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      signal?.aborted ? reject(signal.reason) : resolve();
    };
    const timer = setTimeout(done, Math.min(ms, 10 * LONGEST_WAIT_MS));
    signal?.addEventListener("abort", done);
  });
