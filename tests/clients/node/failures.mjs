// Asks once for each row, and prints how the SDK told what happened.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const rows = JSON.parse(readFileSync(0, "utf8"));

async function ask({ url, prompt, image, stream, key, model, maxRetries }) {
  const client = new OpenAI({ baseURL: url, apiKey: key ?? "any", maxRetries: maxRetries ?? 0 });
  const content = [{ type: "input_text", text: prompt }];
  if (image) content.push({ type: "input_image", image_url: image });
  try {
    const answer = await client.responses.create({
      model: model ?? "qwen3.7-plus",
      input: [{ role: "user", content }],
      tools: [{ type: "image_search" }],
      stream,
    });
    if (!stream) return { last: `response.${answer.status}` };
    let last;
    for await (const event of answer) last = event;
    return { last: last?.type, code: last?.response?.error?.code, id: last?.response?.id };
  } catch (error) {
    const { constructor, status, code, requestID } = error;
    return { raised: constructor.name, status, code, requestId: requestID };
  }
}

const told = [];
for (const row of rows) told.push(await ask(row));
console.log(JSON.stringify(told));
