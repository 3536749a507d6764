// In a page of another site, with `service` and what is `asked`: every way to ask without leave.
const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
document.body.append(frame);
const stream = service + "/search/stream?" + new URLSearchParams(asked);
const body = new FormData();
for (const name in asked) body.append(name, asked[name]);

const submitted = (method, action, enctype) => new Promise((done) => {
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, {method, action, enctype, target: "frame"});
  for (const name in asked)
    form.append(Object.assign(document.createElement("input"), {name, value: asked[name]}));
  frame.onload = done;
  form.submit();
});
const embedded = (tag) => new Promise((done) => {
  const element = Object.assign(document.createElement(tag), {src: stream});
  Object.assign(element, {onload: done, onerror: done});
  document.body.append(element);
});
const mode = "no-cors", method = "POST", headers = {Accept: "text/event-stream"};

await fetch(stream, {mode, headers});
await fetch(service + "/search", {mode, method, body});
await fetch(service + "/search/stream", {mode, method, body});
await fetch(service + "/search", {mode, method, body: JSON.stringify(asked)});
await fetch(stream, {headers}).catch(() => {});
await new Promise((done) => new EventSource(stream).onerror = done);
await submitted("POST", service + "/search", "multipart/form-data");
await submitted("POST", service + "/search/stream", "text/plain");
await embedded("img");
await embedded("script");
await submitted("GET", service + "/search/stream", "");
