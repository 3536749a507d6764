/** What a search says to an `EventSource` of any kind: `[id, type, data]` of each event. */
export function follow(Source, { SERVICE, IMAGE_URL, PROMPT, NAMES }) {
  const query = new URLSearchParams({ image_url: IMAGE_URL, prompt: PROMPT });
  const source = new Source(`${SERVICE}/search/stream?${query}`);
  const events = [];
  return new Promise((done) => {
    for (const name of NAMES.split(",")) {
      source.addEventListener(name, ({ type, data, lastEventId }) => {
        events.push([lastEventId, type, data]);
        if (name !== "search.completed") return;
        source.close();
        done({ events });
      });
    }
  });
}
