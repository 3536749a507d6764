// Asks once for each row, and prints what the SDK raised, or how the stream ended.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const rows = JSON.parse(readFileSync(0, "utf8"));

async function ask({ url, prompt, image, stream, key, model, maxRetries }) {
  const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries });
  const content = [{ type: "input_text", text: prompt }, { type: "input_image", image_url: image }];
  try {
    const answer = await client.responses.create({
      model,
      input: [{ role: "user", content }],
      tools: [{ type: "image_search" }],
      stream,
    });
    let last;
    for await (const event of answer) last = event;
    return { last: last?.type, code: last?.response?.error?.code };
  } catch (error) {
    const { constructor, status, code, requestID } = error;
    return { raised: constructor.name, status, code, request_id: requestID };
  }
}

const outcomes = [];
for (const row of rows) outcomes.push(await ask(row));
console.log(JSON.stringify(outcomes));
