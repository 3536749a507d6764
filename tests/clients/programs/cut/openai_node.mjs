// openai-node: a stream that is cut is read on with `retrieve`.
import OpenAI from "openai";

const { SERVICE, IMAGE_URL, PROMPT } = process.env;
const client = new OpenAI({ baseURL: `${SERVICE}/v1`, apiKey: "any" });
let stream = await client.responses.create({
  model: "qwen3.7-plus",
  input: [
    {
      role: "user",
      content: [
        { type: "input_text", text: PROMPT },
        { type: "input_image", image_url: IMAGE_URL },
      ],
    },
  ],
  tools: [{ type: "image_search" }],
  stream: true,
  background: true,
});
const events = [];
let id;
let last;
while (!/completed|incomplete|failed/.test(last?.type)) {
  try {
    for await (last of stream) {
      events.push([last.type, last.sequence_number, last.delta ?? null]);
      id ??= last.response?.id;
    }
  } catch {
    stream = await client.responses.retrieve(id, { stream: true, starting_after: last.sequence_number });
  }
}
console.log(JSON.stringify({ id, events }));
