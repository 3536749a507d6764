/** A program on hey-api's generated client: it compiles only if every event is told apart. */
import { createSearch, resumeSearch, streamSearch, type Problem, type SearchForm, type SearchRequest, type StreamEvent } from "./client/index";
import { formDataBodySerializer } from "./client/client/index";
import { client } from "./client/client.gen";

client.setConfig({ baseUrl: "https://images.example", auth: () => "token" });

function show(event: StreamEvent): string {
  switch (event.type) {
    case "search.created":
      return event.search_id;
    case "search.progress":
      return `${event.phase} ${event.elapsed_s.toFixed(1)}`;
    case "search.results":
      return event.results.map((match) => match.title).join() + event.bbox[3];
    case "search.completed":
    case "search.cancelled":
      return `${event.status} ${event.results[0]?.url} ${event.cost?.total}`;
    case "search.failed":
      return event.error.code + event.result.text;
    case "response.created":
    case "response.in_progress":
    case "response.completed":
    case "response.incomplete":
    case "response.failed":
      return String(event.response["id"]);
    case "response.output_item.added":
    case "response.output_item.done":
      return String(event.item["type"]);
    case "response.content_part.added":
    case "response.content_part.done":
      return String(event.part["type"]);
    case "response.output_text.delta":
    case "response.reasoning_text.delta":
    case "response.reasoning_summary_text.delta":
      return event.delta;
    case "response.output_text.done":
    case "response.reasoning_text.done":
    case "response.reasoning_summary_text.done":
      return event.text;
    default:
      return event satisfies never;
  }
}

export async function main(file: File): Promise<Problem["code"] | undefined> {
  const { stream } = await streamSearch({ body: { image_url: "https://example.com/photo.jpg" } });
  for await (const event of stream) if (event) show(event);
  // It knows one type of body an operation; a form is sent by its own serializer.
  const form: SearchForm = { image: [file], prompt: "What is this?" };
  const upload = { ...formDataBodySerializer, body: form as SearchRequest, headers: { "Content-Type": null } };
  for await (const event of (await streamSearch(upload)).stream) if (event) show(event);
  const { data, error } = await createSearch(upload);
  const again = await resumeSearch({ path: { search_id: data?.id ?? "" }, query: { after: 7 } });
  // An event is `void` to it, because a stream that was seen whole is answered with 204.
  for await (const event of again.stream) if (event) show(event);
  // @ts-expect-error: there is no such field.
  await createSearch({ body: { picture: "https://example.com/photo.jpg" } });
  return error?.code;
}
