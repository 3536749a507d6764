// Reads a stream with openai-node, and prints its events. Argument: the API's address.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const stream = await client.responses.create({ model: "any", input: "Look", stream: true });
const events = [];
for await (const event of stream) events.push(event);
console.log(JSON.stringify(events));
