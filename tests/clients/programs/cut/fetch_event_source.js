// In a page: fetch-event-source. It sends its `POST` again, which resumes.
import { fetchEventSource } from "@microsoft/fetch-event-source";

const events = [];
const end = new AbortController();
fetchEventSource(`${env.SERVICE}/search/stream`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ image_url: env.IMAGE_URL, prompt: env.PROMPT }),
  openWhenHidden: true,
  signal: end.signal,
  onmessage({ id, event, data }) {
    events.push([id, event, data]);
    if (event === "search.completed") end.abort();
  },
}).then(() => done({ events }));
