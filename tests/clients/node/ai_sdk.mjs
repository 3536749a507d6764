// One streamed search with the Vercel AI SDK's OpenAI provider. The provider knows neither the tool
// nor its results: the tool is put into the request, the results are read from the raw chunks.
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const withTool = (url, init) => {
  const body = { ...JSON.parse(init.body), tools: [{ type: "image_search" }] };
  return fetch(url, { ...init, body: JSON.stringify(body) });
};

const openai = createOpenAI({ baseURL: process.env.BASE_URL, apiKey: "any", fetch: withTool });
const result = streamText({
  model: openai.responses("qwen3.7-plus"),
  maxRetries: 0,
  includeRawChunks: true,
  onError: () => {},
  messages: [
    {
      role: "user",
      content: [
        { type: "text", text: process.env.PROMPT },
        { type: "file", mediaType: "image/jpeg", data: new URL(process.env.IMAGE_URL) },
      ],
    },
  ],
});

const told = { text: "", parts: [], found: [], errors: [] };
for await (const part of result.fullStream) {
  if (part.type === "text-delta") told.text += part.text;
  else if (part.type === "error") told.errors.push(part.error?.data?.error?.code ?? String(part.error?.message ?? part.error));
  else if (part.type === "raw") {
    const { type, item } = part.rawValue;
    if (type === "response.output_item.done" && item.type === "image_search_call") {
      told.found.push(...JSON.parse(item.output));
    }
  } else if (!told.parts.includes(part.type)) told.parts.push(part.type);
}
try {
  told.tokens = (await result.usage).totalTokens;
  told.finish = await result.finishReason;
} catch (error) {
  told.thrown = error.constructor.name;
}
console.log(JSON.stringify(told));
