/** The page: gathers a search, follows it with the browser client, and shows what comes. */

import { SearchClient, SearchError } from "../client.js";
import { ways } from "./examples.js";
import { language, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const service = new URL("..", import.meta.url).href.replace(/\/$/, "");
const PICTURES_MAX = 8;
const EVENTS_SHOWN = 500;
const EVENT_CHARS = 240;

let pictures = []; // {source: Blob or URL text, name, address for <img>}
let running = null; // {abort, id, startedAt} of the search under way
let connection = null; // of the current request only: cutting it shows a resume
let phase = null; // {word, startedAt, seconds}
let way = "curl";
let number = 0;

const client = new SearchClient({
  url: service,
  token: ({ refresh }) => (refresh ? askForToken() : $("token").value.trim()),
  fetch(address, request) {
    if (request.method === "DELETE") return fetch(address, request);
    const seen = request.headers["Last-Event-ID"];
    if (seen) {
      say("resuming");
      listNote(words.resumed_behind(seen.split(":")[1]));
    }
    connection = new AbortController();
    return fetch(address, { ...request, signal: AbortSignal.any([request.signal, connection.signal]) });
  },
});

/** The last token was refused: wait for another one, or for the end of the search. */
function askForToken() {
  $("token-part").hidden = false;
  complain(words.token_wanted);
  $("token").value = "";
  $("token").focus();
  return new Promise((resolve) => {
    const done = () => resolve($("token").value.trim());
    $("use-token").addEventListener("click", done, { once: true });
    running.abort.signal.addEventListener("abort", done);
  }).finally(() => {
    $("problem").textContent = "";
    showCode();
  });
}

/* Language */

document.documentElement.lang = language;
for (const element of document.querySelectorAll("[data-say]")) element.textContent = words[element.dataset.say];
for (const element of document.querySelectorAll("[data-say-label]")) {
  element.setAttribute("aria-label", words[element.dataset.sayLabel]);
}
document.title = words.title;
$("prompt").value = words.default_prompt;

/* Pictures */

function addPictures(sources) {
  for (const source of sources.slice(0, PICTURES_MAX - pictures.length)) {
    const isFile = source instanceof Blob;
    pictures.push({ source, name: isFile ? source.name : undefined, address: isFile ? URL.createObjectURL(source) : source });
  }
  showPictures();
}

function clearPictures() {
  for (const { source, address } of pictures) if (source instanceof Blob) URL.revokeObjectURL(address);
  pictures = [];
  $("files").value = $("camera").value = "";
  showPictures();
}

function showPictures() {
  $("pictures").replaceChildren(...pictures.map(({ address, name }, index) => {
    const item = document.createElement("li");
    const image = picture(address, words.picture_number(index + 1));
    // Not every browser shows every format, such as HEIC; the service takes it all the same.
    image.addEventListener("error", () => image.replaceWith(line("title", name ?? words.picture_number(index + 1))));
    item.append(image, svg("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", "aria-hidden": true }));
    return item;
  }));
  $("clear").hidden = !pictures.length;
  showCode();
}

function picture(address, alt) {
  const image = document.createElement("img");
  Object.assign(image, { referrerPolicy: "no-referrer", alt, src: address });
  return image;
}

function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** The searched box, in thousandths of the picture's sides. */
function drawBox(image, [left, top, right, bottom]) {
  $("pictures").children[image]?.querySelector("svg")
    .append(svg("rect", { x: left, y: top, width: right - left, height: bottom - top }));
}

/* The search */

async function search() {
  const address = $("address").value.trim();
  const image = [...pictures.map(({ source }) => source), ...(address ? [address] : [])];
  reset();
  if (!image.length) return complain(words.no_picture);
  const abort = new AbortController();
  running = { abort, id: null, startedAt: performance.now() };
  busy(true);
  enter("starting");
  $("outcome").scrollIntoView({ block: "nearest" });
  const fields = { image, prompt: $("prompt").value };
  if ($("model").value) fields.model = $("model").value;
  try {
    for await (const event of client.stream(fields, { signal: abort.signal })) show(event);
  } catch (error) {
    fail(error);
  } finally {
    busy(false);
    running = null;
  }
}

const answer = { item: null };

/** What each kind of event changes on the page; the others are only listed. */
const shows = {
  "search.created": ({ search_id }) => (running.id = search_id),
  "search.progress": (event) => enter(event.phase),
  "search.results"({ image, bbox, results }) {
    drawBox(image, bbox);
    $("results").append(...results.map(card));
    $("results").hidden = false;
  },
  "response.output_text.delta"({ item_id, delta }) {
    if (item_id !== answer.item) $("text").textContent = "";
    answer.item = item_id;
    $("text").append(delta);
  },
  "search.completed": showResult,
  "search.cancelled": showResult,
  "search.failed"({ error, result }) {
    showResult(result);
    showProblem(error);
  },
};

function show(event) {
  number += 1;
  list(event);
  if (phase) say(phase.word);
  shows[event.type]?.(event);
}

function showResult(result) {
  const { status, text, results, usage, cost, outcome } = result;
  endPhase();
  say(status);
  if (text) $("text").textContent = text;
  if (outcome) fact("outcome", typeof words[outcome] === "function" ? words[outcome](results.length) : words[outcome]);
  if (usage) fact("tokens", words.tokens_of(usage.input_tokens, usage.output_tokens));
  fact("cost", cost ? `${cost.total} ${cost.currency}${cost.estimated ? ` (${words.estimated})` : ""}` : words.cost_unknown);
  fact("duration", words.seconds((performance.now() - running.startedAt) / 1000));
  for (const warning of result.warnings) {
    const item = document.createElement("li");
    item.textContent = words[warning] ?? warning;
    $("warnings").append(item);
  }
}

function fail(error) {
  endPhase();
  if (error.name === "AbortError") return say("cancelled");
  if (!(error instanceof SearchError)) throw error;
  if (error.status === 401) $("token-part").hidden = false;
  showProblem(error);
}

/** A sentence of the page's for what is met every day, else the service's own. */
function showProblem({ code, detail, retry_after, billed, errors }) {
  const own = words.problems[code];
  const sentences = own ? [own] : [detail, ...(errors ?? []).map(({ field, reason }) => `${field}: ${reason}`)];
  if (retry_after && code !== "budget_exceeded") sentences.push(words.again(retry_after));
  if (billed === "maybe") sentences.push(words.billed);
  complain(sentences.join(" "));
}

async function stop() {
  if (!running?.id) return running?.abort.abort();
  try {
    await client.cancel(running.id);
  } catch (error) {
    fail(error);
  }
}

/* What is shown */

function card({ title, url }) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  if (/^https?:/i.test(url)) Object.assign(link, { href: url, target: "_blank", rel: "noopener noreferrer" });
  const image = picture(url, "");
  const mixed = location.protocol === "https:" && url.startsWith("http:");
  if (!mixed) link.append(image);
  image.addEventListener("error", () => image.remove());
  link.append(line("title", title), line("host", hostOf(url)));
  item.append(link);
  return item;
}

function line(className, text) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

function fact(name, value) {
  const [term, text] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = words[name];
  text.textContent = value;
  $("facts").append(term, text);
}

function list(event) {
  const item = document.createElement("li");
  item.value = number;
  const text = document.createElement("code");
  text.append(line("type", event.type), ` ${shortened(JSON.stringify(event))}`);
  item.append(text);
  $("events").append(item);
  while ($("events").children.length > EVENTS_SHOWN) $("events").firstChild.remove();
  $("events").scrollTop = $("events").scrollHeight;
}

const shortened = (text) => (text.length > EVENT_CHARS ? `${text.slice(0, EVENT_CHARS)}…` : text);

/** What happened to the connection, between the events. */
function listNote(text) {
  const item = document.createElement("li");
  item.className = "cut";
  item.textContent = text;
  $("events").append(item);
}

const say = (word) => ($("status").textContent = words[word] ?? word);
const complain = (sentence) => {
  $("status").textContent = "";
  $("problem").textContent = sentence;
};

/** Another phase begins; its seconds are counted until the next one. */
function enter(word) {
  say(word);
  if (phase?.word === word) return;
  endPhase();
  const item = document.createElement("li");
  const seconds = line("seconds", "");
  item.append(words[word] ?? word, " ", seconds);
  $("phases").append(item);
  phase = { word, startedAt: performance.now(), seconds };
  tick();
}

function endPhase() {
  tick();
  phase = null;
}

function tick() {
  if (phase) phase.seconds.textContent = words.seconds((performance.now() - phase.startedAt) / 1000);
}
setInterval(tick, 100);

function reset() {
  number = 0;
  phase = null;
  answer.item = null;
  for (const id of ["results", "events", "text", "facts", "warnings", "problem", "status", "phases"]) $(id).replaceChildren();
  $("results").hidden = true;
  for (const overlay of $("pictures").querySelectorAll("svg")) overlay.replaceChildren();
}

function busy(is) {
  $("go").disabled = is;
  $("stop").disabled = $("cut").disabled = !is;
  $("text").setAttribute("aria-busy", is);
}

/* The same with */

function showCode() {
  const file = pictures.find(({ source }) => source instanceof Blob);
  $("code").textContent = ways[way]({
    service,
    file: file && (file.name || "photo.jpg"),
    image: $("address").value.trim() || pictures[0]?.address || "https://example.com/photo.jpg",
    prompt: $("prompt").value,
    model: $("model").value,
    token: !$("token-part").hidden,
  });
}

for (const name of Object.keys(ways)) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: name });
  button.addEventListener("click", () => {
    way = name;
    for (const one of $("ways").children) one.setAttribute("aria-pressed", one === button);
    showCode();
  });
  button.setAttribute("aria-pressed", name === way);
  $("ways").append(button);
}

/* What the user does */

const drop = $("drop");
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const files = [...event.dataTransfer.files];
  if (files.length) addPictures(files);
  else $("address").value = event.dataTransfer.getData("text/uri-list").split("\n")[0];
  showCode();
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) addPictures(files);
});
for (const [button, input] of [["choose", "files"], ["photo", "camera"]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => addPictures([...$(input).files]));
}
$("clear").addEventListener("click", clearPictures);
$("stop").addEventListener("click", stop);
$("cut").addEventListener("click", () => connection?.abort());
$("copy").hidden = !navigator.clipboard; // Only where the page came over https, or from this machine.
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("code").textContent);
  $("copy").textContent = words.copied;
  setTimeout(() => ($("copy").textContent = words.copy), 2000);
});
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
$("form").addEventListener("input", showCode);

/* The models on offer, where the service tells them to this caller. */

async function offerModels() {
  const token = $("token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(`${service}/v1/models`, { headers }).catch(() => null);
  if (response?.status === 401) $("token-part").hidden = false;
  if (!response?.ok) return;
  const { data } = await response.json();
  $("model").append(...data.map(({ id }) => new Option(id, id)));
}

$("token").addEventListener("change", () => $("model").length === 1 && offerModels());
showPictures();
offerModels();
