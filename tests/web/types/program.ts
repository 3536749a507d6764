/** A program against the published types: it compiles only if every event is told apart. */
import { SearchClient, SearchError, type Match, type SearchEvent, type SearchResult } from "imagesearch-client";

const client = new SearchClient({
  url: new URL("https://images.example"),
  token: async ({ refresh }) => (await fetch(`/token?refresh=${refresh}`)).text(),
});

function show(event: SearchEvent): string {
  switch (event.type) {
    case "search.created":
      return event.search_id;
    case "search.progress":
      return `${event.phase} ${event.elapsed_s.toFixed(1)}`;
    case "search.results":
      return event.results.map((match: Match) => match.title).join() + event.bbox[3];
    case "search.completed":
    case "search.cancelled":
      return ended(event);
    case "search.failed":
      return event.error.code + ended(event.result);
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

function ended(result: SearchResult): string {
  return `${result.status} ${result.outcome} ${result.usage?.total_tokens} ${result.cost?.total}`;
}

export async function main(file: File, signal: AbortSignal): Promise<void> {
  try {
    for await (const event of client.stream({ image: file, prompt: "What is this?" }, { signal })) show(event);
    const result = await client.search(
      { image: [file, "https://example.com/photo.jpg"], thinking: false },
      { onText: (delta, whole) => console.log(delta.length, whole), onResults: ({ results }) => console.log(results[0]?.url) },
    );
    for await (const event of client.resume(result.id, 7)) show(event);
    await client.cancel(result.id);
  } catch (error) {
    if (error instanceof SearchError && error.code === "rate_limited") console.log(error.retry_after, error.result?.text);
  }
  // @ts-expect-error: there is no such field.
  client.stream({ picture: file });
  // @ts-expect-error: a token is no number.
  new SearchClient({ token: 7 });
}
