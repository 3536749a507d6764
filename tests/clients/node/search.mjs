// Search by image with openai-node, waiting for the whole answer.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY });
const response = await client.responses.create({
  model: "qwen3.7-plus",
  input: [
    {
      role: "user",
      content: [
        { type: "input_text", text: "Find landscapes in this style." },
        { type: "input_image", image_url: process.env.IMAGE_URL },
      ],
    },
  ],
  tools: [{ type: "image_search" }],
});
for (const item of response.output) {
  if (item.type !== "image_search_call") continue;
  console.log("tool call:", item.arguments);
  for (const found of JSON.parse(item.output)) {
    console.log(`found ${found.index}: ${found.title} ${found.url}`);
  }
}
console.log("text:", response.output_text);
console.log("tokens:", response.usage.total_tokens);
console.log("tool count:", response.usage.x_tools.image_search.count);
