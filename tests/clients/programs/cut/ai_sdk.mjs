// The AI SDK's `streamText`: it cannot resume, and reports an error.
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const { SERVICE, IMAGE_URL, PROMPT } = process.env;
const withTool = (url, init) => {
  const body = { ...JSON.parse(init.body), tools: [{ type: "image_search" }] };
  return fetch(url, { ...init, body: JSON.stringify(body) });
};
const openai = createOpenAI({ baseURL: `${SERVICE}/v1`, apiKey: "any", fetch: withTool });
const content = [
  { type: "text", text: PROMPT },
  { type: "file", mediaType: "image/jpeg", data: new URL(IMAGE_URL) },
];
const model = openai.responses("qwen3.7-plus");
const { fullStream } = streamText({ model, messages: [{ role: "user", content }], onError() {} });
const told = { text: "", error: "" };
try {
  for await (const part of fullStream) {
    if (part.type === "text-delta") told.text += part.text;
    if (part.type === "error") told.error = String(part.error);
  }
} catch (error) {
  told.error = String(error);
}
console.log(JSON.stringify(told));
