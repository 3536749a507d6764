// Search by image with openai-node, reading the answer as it is made.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY });
const stream = await client.responses.create({
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
  stream: true,
});
let text = "";
for await (const event of stream) {
  if (event.type === "response.output_item.done" && event.item.type === "image_search_call") {
    console.log("tool call:", event.item.arguments);
    for (const found of JSON.parse(event.item.output)) {
      console.log(`found ${found.index}: ${found.title} ${found.url}`);
    }
  } else if (event.type === "response.output_text.delta") {
    text += event.delta;
  } else if (event.type === "response.completed") {
    const { usage } = event.response;
    console.log("text:", text);
    console.log("tokens:", usage.total_tokens);
    console.log("tool count:", usage.x_tools.image_search.count);
  }
}
