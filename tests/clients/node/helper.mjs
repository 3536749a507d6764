// Reads whole streams with the `responses.stream()` helper; one prompt a line of the answer.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const { prompts, image, headers } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI({
  baseURL: process.env.BASE_URL,
  apiKey: "any",
  maxRetries: 0,
  defaultHeaders: headers,
});

async function read(prompt) {
  const stream = client.responses.stream({
    model: "qwen3.7-plus",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: prompt },
          { type: "input_image", image_url: image },
        ],
      },
    ],
    tools: [{ type: "image_search" }],
  });
  try {
    let reasoning = "";
    for await (const event of stream) {
      if (event.type.match(/^response\.reasoning_(summary_)?text\.delta$/)) reasoning += event.delta;
    }
    const response = await stream.finalResponse();
    const types = response.output.map((item) => item.type);
    return { status: response.status, types, text: response.output_text, reasoning };
  } catch (error) {
    return { raised: error.constructor.name, message: error.message };
  }
}

const told = [];
for (const prompt of prompts) told.push(await read(prompt));
console.log(JSON.stringify(told));
