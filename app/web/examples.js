/** "The same with": one search as a program in several ways, filled in with what the page holds. */

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const json = (value) => JSON.stringify(value);

/** The ways by name, each a function of the search: `{service, image, file, prompt, model, token}`. */
export const ways = {
  curl({ service, image, file, prompt, model, token }) {
    return [
      `curl -N ${service}/search/stream`,
      token && "-H 'Authorization: Bearer <token>'",
      file ? `-F image=@${quoted(file)}` : `-F image_url=${quoted(image)}`,
      `-F prompt=${quoted(prompt)}`,
      model && `-F model=${model}`,
    ]
      .filter(Boolean)
      .join(" \\\n  ");
  },

  "client.js"({ service, image, file, prompt, model, token }) {
    return `import { SearchClient } from "${service}/client.js";

const client = new SearchClient({ url: ${json(service)}${token ? ", token: ({ refresh }) => askBackend(refresh)" : ""} });
const result = await client.search(
  { image: ${file ? "input.files[0]" : json(image)}, prompt: ${json(prompt)}${model ? `, model: ${json(model)}` : ""} },
  {
    onResults: ({ results }) => results.forEach((found) => console.log(found.title, found.url)),
    onText: (delta, whole) => (answer.textContent = whole),
  },
);
console.log(result.outcome, result.usage, result.cost);`;
  },

  EventSource({ service, image, file, prompt, model, token }) {
    return `// An EventSource can only send an address: the picture must be public.
const query = new URLSearchParams({
  image_url: ${json(file ? "https://example.com/photo.jpg" : image)},
  prompt: ${json(prompt)},${model ? `\n  model: ${json(model)},` : ""}${token ? "\n  access_token: token," : ""}
});
const source = new EventSource(\`${service}/search/stream?\${query}\`);
const on = (name, show) => source.addEventListener(name, (event) => show(JSON.parse(event.data)));

on("search.results", ({ results }) => console.log(results));
on("response.output_text.delta", ({ delta }) => (answer.textContent += delta));
on("search.completed", (result) => { source.close(); console.log(result.usage); });
on("search.failed", ({ error }) => { source.close(); console.error(error.detail); });
on("search.cancelled", () => source.close());`;
  },

  useChat({ service, image, file, prompt, model, token }) {
    return `// React, with the AI SDK. The pictures: ${file ? "an input's files" : "here, a public address"}.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const transport = new DefaultChatTransport({
  api: ${json(`${service}/ui/chat`)},${model ? `\n  body: { model: ${json(model)} },` : ""}${token ? "\n  headers: async () => ({ Authorization: `Bearer ${await askBackend()}` })," : ""}
});

export function Search({ id${file ? ", files" : ""} }) {
  const { messages, sendMessage, error } = useChat({ id, transport, resume: true });${file ? "" : `\n  const files = [{ type: "file", mediaType: "image/jpeg", url: ${json(image)} }];`}
  const parts = messages.flatMap((message) => (message.role === "user" ? [] : message.parts));
  return (
    <>
      <button onClick={() => sendMessage({ text: ${json(prompt)}, files })}>Search</button>
      {parts.map((part, number) => part.type === "text" && <p key={number}>{part.text}</p>)}
      {parts.map((part) => part.type === "source-url" && <a key={part.sourceId} href={part.url}>{part.title}</a>)}
      {error && <p role="alert">{error.message}</p>}
    </>
  );
}`;
  },
};
