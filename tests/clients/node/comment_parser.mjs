// Reads a stream with eventsource-parser, and prints all it was told. Argument: the address.
import { createParser } from "eventsource-parser";

const told = { events: [], comments: [], errors: [] };
const parser = createParser({
  onEvent: ({ id, event, data }) => told.events.push([id, event, data]),
  onComment: (comment) => told.comments.push(comment),
  onError: (error) => told.errors.push(String(error)),
});
const response = await fetch(process.argv[2], { headers: { accept: "text/event-stream" } });
for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
console.log(JSON.stringify(told));
