/** Types of client.js, made by `make types` from the OpenAPI document: do not edit. */

export type Cost = {
  /** Always CNY. */
  currency: "CNY";
  /** Tokens and tool calls together. */
  total: number;
  /** Price of the tokens. */
  tokens: number;
  /** Fees of the tool calls. */
  tools: number;
  /** Whether the upstream did not report its usage, so that the cost is our estimate. */
  estimated: boolean;
};

export type FieldError = {
  /** The field's name, with dots and indices. */
  field: string;
  /** What is wrong with it. */
  reason: string;
};

export type ImageSearch = {
  /** Number of the request's image that was searched, from 0. */
  image: number;
  /** Part of the image that was searched: left, top, right, bottom in thousandths of its sides. */
  bbox: [
    number,
    number,
    number,
    number
  ];
  /** How many pictures were found. */
  count: number;
};

export type Match = {
  /** Rank in the tool's list, from 1. */
  index: number;
  /** Title of the page that shows the picture. */
  title: string;
  /** URL of the picture itself, not of its page. */
  url: string;
  /** Number of the request's image that it resembles, from 0. */
  image: number;
};

export type Problem = {
  /** `urn:imagesearch:` and the code. */
  type: string;
  /** The code in words. */
  title: string;
  /** The HTTP status that fits the error. */
  status: number;
  /** What happened, for humans. */
  detail: string;
  /** What happened, for programs. */
  code: "budget_exceeded" | "content_blocked" | "draining" | "encoding_unsupported" | "forbidden" | "head_too_large" | "host_not_allowed" | "idempotency_mismatch" | "image_dimensions" | "image_missing" | "image_too_complex" | "image_too_large" | "image_type_unsupported" | "image_unfetchable" | "image_unreadable" | "image_url_invalid" | "internal" | "invalid_request" | "malformed_body" | "malformed_request" | "method_not_allowed" | "model_not_allowed" | "not_acceptable" | "not_found" | "origin_not_allowed" | "overloaded" | "owner_lost" | "rate_limited" | "search_not_found" | "token_expired" | "unauthorized" | "upload_timeout" | "upstream_account" | "upstream_auth_failed" | "upstream_interrupted" | "upstream_protocol" | "upstream_rate_limited" | "upstream_rejected" | "upstream_timeout" | "upstream_unavailable";
  /** Whether the same request may succeed later. */
  retryable: boolean;
  /** Whether the upstream may have charged for the failed call. */
  billed: "no" | "maybe";
  /** Seconds to wait before trying again. */
  retry_after?: number | null;
  /** Id of the request, as in `X-Request-ID`. */
  request_id: string;
  /** Id of the search, if one was started. */
  search_id?: string | null;
  /** The fields that were refused. */
  errors?: FieldError[] | null;
  /** What the upstream said. */
  upstream?: UpstreamReport | null;
  /** What had been found before the failure: it was paid for. */
  result?: SearchResult | null;
};

export type ResponseCompleted = {
  /** Name of the event. */
  type: "response.completed";
  /** The response so far, as in OpenAI's API. */
  response: {
    [key: string]: unknown;
  };
};

export type ResponseContentPartAdded = {
  /** Name of the event. */
  type: "response.content_part.added";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The part of the item's content. */
  part: {
    [key: string]: unknown;
  };
};

export type ResponseContentPartDone = {
  /** Name of the event. */
  type: "response.content_part.done";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The part of the item's content. */
  part: {
    [key: string]: unknown;
  };
};

export type ResponseCreated = {
  /** Name of the event. */
  type: "response.created";
  /** The response so far, as in OpenAI's API. */
  response: {
    [key: string]: unknown;
  };
};

export type ResponseFailed = {
  /** Name of the event. */
  type: "response.failed";
  /** The response so far, as in OpenAI's API. */
  response: {
    [key: string]: unknown;
  };
};

export type ResponseInProgress = {
  /** Name of the event. */
  type: "response.in_progress";
  /** The response so far, as in OpenAI's API. */
  response: {
    [key: string]: unknown;
  };
};

export type ResponseIncomplete = {
  /** Name of the event. */
  type: "response.incomplete";
  /** The response so far, as in OpenAI's API. */
  response: {
    [key: string]: unknown;
  };
};

export type ResponseOutputItemAdded = {
  /** Name of the event. */
  type: "response.output_item.added";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The item: a message, reasoning, or a call of a tool. */
  item: {
    [key: string]: unknown;
  };
};

export type ResponseOutputItemDone = {
  /** Name of the event. */
  type: "response.output_item.done";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The item: a message, reasoning, or a call of a tool. */
  item: {
    [key: string]: unknown;
  };
};

export type ResponseOutputTextDelta = {
  /** Name of the event. */
  type: "response.output_text.delta";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The next piece of the text. */
  delta: string;
};

export type ResponseOutputTextDone = {
  /** Name of the event. */
  type: "response.output_text.done";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The whole text. */
  text: string;
};

export type ResponseReasoningSummaryTextDelta = {
  /** Name of the event. */
  type: "response.reasoning_summary_text.delta";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The next piece of the text. */
  delta: string;
};

export type ResponseReasoningSummaryTextDone = {
  /** Name of the event. */
  type: "response.reasoning_summary_text.done";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The whole text. */
  text: string;
};

export type ResponseReasoningTextDelta = {
  /** Name of the event. */
  type: "response.reasoning_text.delta";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The next piece of the text. */
  delta: string;
};

export type ResponseReasoningTextDone = {
  /** Name of the event. */
  type: "response.reasoning_text.done";
  /** Number of the output item, from 0. */
  output_index: number;
  /** The whole text. */
  text: string;
};

export type SearchCancelled = {
  /** Name of the event. */
  type: "search.cancelled";
  /** Id of the search. */
  id: string;
  /** Always `search`. */
  object: "search";
  /** How far the search is, or how it ended. */
  status: "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";
  /** Whether pictures were found, or the model did not search; null while unknown. */
  outcome: ("matched" | "no_match" | "tool_skipped") | null;
  /** The model that answers. */
  model: string;
  /** The model's answer so far. */
  text: string;
  /** Pictures that the search tool found; never taken from the model's text. */
  results: Match[];
  /** The calls of the search tool. */
  searches: ImageSearch[];
  /** Tokens and tool calls; null until the upstream reports them. */
  usage: Usage | null;
  /** What it cost; null until the search has ended, or if the model's price is not configured. */
  cost: Cost | null;
  /**
   * `text_mentions_unlisted_url`: the text names a URL that no search returned. `partial`: the
   * search failed after results had come.
   */
  warnings: ("text_mentions_unlisted_url" | "partial")[];
  /** Why it failed; null otherwise. */
  error: Problem | null;
  /** Id for `previous_response_id` of a follow-up question; null until known. */
  upstream_response_id: string | null;
  /** Start of the search, in seconds since 1970. */
  created_at: number;
  /** End of the search, in seconds since 1970; null while it runs. */
  completed_at: number | null;
};

export type SearchCompleted = {
  /** Name of the event. */
  type: "search.completed";
  /** Id of the search. */
  id: string;
  /** Always `search`. */
  object: "search";
  /** How far the search is, or how it ended. */
  status: "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";
  /** Whether pictures were found, or the model did not search; null while unknown. */
  outcome: ("matched" | "no_match" | "tool_skipped") | null;
  /** The model that answers. */
  model: string;
  /** The model's answer so far. */
  text: string;
  /** Pictures that the search tool found; never taken from the model's text. */
  results: Match[];
  /** The calls of the search tool. */
  searches: ImageSearch[];
  /** Tokens and tool calls; null until the upstream reports them. */
  usage: Usage | null;
  /** What it cost; null until the search has ended, or if the model's price is not configured. */
  cost: Cost | null;
  /**
   * `text_mentions_unlisted_url`: the text names a URL that no search returned. `partial`: the
   * search failed after results had come.
   */
  warnings: ("text_mentions_unlisted_url" | "partial")[];
  /** Why it failed; null otherwise. */
  error: Problem | null;
  /** Id for `previous_response_id` of a follow-up question; null until known. */
  upstream_response_id: string | null;
  /** Start of the search, in seconds since 1970. */
  created_at: number;
  /** End of the search, in seconds since 1970; null while it runs. */
  completed_at: number | null;
};

export type SearchCreated = {
  /** Name of the event. */
  type: "search.created";
  /** Id of the search. */
  search_id: string;
  /** The model that was asked. */
  model: string;
  /** Start of the search, in seconds since 1970. */
  created_at: number;
};

export type SearchFailed = {
  /** Name of the event. */
  type: "search.failed";
  /** Why it failed. */
  error: Problem;
  /** What had been found before. */
  result: SearchResult;
};

export type SearchProgress = {
  /** Name of the event. */
  type: "search.progress";
  /** What the model is doing. */
  phase: "waiting" | "thinking" | "searching" | "answering";
  /** Seconds since the start of the search. */
  elapsed_s: number;
};

export type SearchRequest = {
  /**
   * The image, or several: `http(s)` URLs, or `data:` URLs that hold it; each also as an object
   * with a `url`.
   */
  image_url?: string | {
    url: string;
  } | (string | {
    url: string;
  })[] | null;
  /**
   * The question about the image. Default: "Find visually similar images and describe what they
   * have in common.".
   */
  prompt?: string | null;
  /** One of the models that this service offers. Default: the service's. */
  model?: string | null;
  /** Instructions for the model, at most as long as a prompt. */
  instructions?: string | null;
  /** `upstream_response_id` of an earlier search: a follow-up question, which needs no image. */
  previous_response_id?: string | null;
  /** Upper bound of the answer, in tokens, reasoning included. Default: the model's own. */
  max_output_tokens?: number | null;
  /** `false` answers faster, without reasoning. Default: true. */
  thinking?: boolean | null;
  /**
   * `true`: go on to the end although every reader leaves; `POST /search` answers 202 at once.
   * Default: false.
   */
  background?: boolean | null;
  /** `true`: do not reuse a finished search. Default: false. */
  fresh?: boolean | null;
};

export type SearchResult = {
  /** Id of the search. */
  id: string;
  /** Always `search`. */
  object: "search";
  /** How far the search is, or how it ended. */
  status: "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";
  /** Whether pictures were found, or the model did not search; null while unknown. */
  outcome: ("matched" | "no_match" | "tool_skipped") | null;
  /** The model that answers. */
  model: string;
  /** The model's answer so far. */
  text: string;
  /** Pictures that the search tool found; never taken from the model's text. */
  results: Match[];
  /** The calls of the search tool. */
  searches: ImageSearch[];
  /** Tokens and tool calls; null until the upstream reports them. */
  usage: Usage | null;
  /** What it cost; null until the search has ended, or if the model's price is not configured. */
  cost: Cost | null;
  /**
   * `text_mentions_unlisted_url`: the text names a URL that no search returned. `partial`: the
   * search failed after results had come.
   */
  warnings: ("text_mentions_unlisted_url" | "partial")[];
  /** Why it failed; null otherwise. */
  error: Problem | null;
  /** Id for `previous_response_id` of a follow-up question; null until known. */
  upstream_response_id: string | null;
  /** Start of the search, in seconds since 1970. */
  created_at: number;
  /** End of the search, in seconds since 1970; null while it runs. */
  completed_at: number | null;
};

export type SearchResults = {
  /** Name of the event. */
  type: "search.results";
  /** Number of the request's image that was searched, from 0. */
  image: number;
  /** Part of the image that was searched: left, top, right, bottom in thousandths of its sides. */
  bbox: [
    number,
    number,
    number,
    number
  ];
  /** The pictures found; empty if there were none. */
  results: Match[];
};

export type StreamEvent = SearchCreated | SearchProgress | SearchResults | SearchCompleted | SearchFailed | SearchCancelled | ResponseCreated | ResponseInProgress | ResponseCompleted | ResponseIncomplete | ResponseFailed | ResponseOutputItemAdded | ResponseOutputItemDone | ResponseContentPartAdded | ResponseContentPartDone | ResponseOutputTextDelta | ResponseReasoningTextDelta | ResponseReasoningSummaryTextDelta | ResponseOutputTextDone | ResponseReasoningTextDone | ResponseReasoningSummaryTextDone;

export type UpstreamReport = {
  /** The upstream's HTTP status. */
  status?: number | null;
  /** The upstream's error code. */
  code?: string | null;
  /** The upstream's message. */
  message?: string | null;
  /** The upstream's request id, for its support. */
  request_id?: string | null;
};

export type Usage = {
  /** Tokens of the request, images and search results included. */
  input_tokens: number;
  /** Tokens of the answer, reasoning included. */
  output_tokens: number;
  /** Sum of both. */
  total_tokens: number;
  /** How often the search tool was called. */
  image_search_calls: number;
};

/** A picture: a file, or the address of a public one (`https:` or `data:`). */
export type Picture = Blob | URL | string;

/** The fields of a search: those of `SearchRequest`, and pictures of any kind in `image`. */
export type SearchFields = Omit<SearchRequest, "image_url"> & {
  image?: Picture | readonly Picture[];
  image_url?: string | string[];
};

/** `data` of any event, told apart by `type`. Others than these come too: a `switch` needs a `default`. */
export type SearchEvent = StreamEvent;

/** Gives a token. `refresh` is true when the last one was refused: then get another. */
export type TokenSource = (options: { refresh: boolean }) => string | Promise<string>;

export interface ClientOptions {
  /** The service's address; by default where this module came from. */
  url?: string | URL;
  /** A client key (never in a browser) or browser token, or a function that gets one. */
  token?: string | TokenSource;
  /** Used in place of `globalThis.fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Most attempts in a row that bring nothing new; 5 by default. */
  retries?: number;
}

export interface StreamOptions {
  /** Aborting it ends the stream with its reason, as with `fetch`; no further request is made. */
  signal?: AbortSignal;
  /** `Idempotency-Key`; by default 128 random bits. */
  key?: string;
}

export interface SearchOptions extends StreamOptions {
  onResults?: (event: SearchResults) => void;
  /** `whole` is the answer so far, `delta` its newest piece. */
  onText?: (delta: string, whole: string) => void;
  onProgress?: (event: SearchProgress) => void;
}

export declare class SearchClient {
  constructor(options?: ClientOptions);

  /**
   * Starts a search and yields its events, `search.failed` among them; after a cut it goes on.
   * Throws SearchError for a refusal and for a connection that is lost for good.
   */
  stream(fields: SearchFields, options?: StreamOptions): AsyncGenerator<SearchEvent, void, void>;

  /** Starts a search and gives its result. Throws SearchError for a failed one too. */
  search(fields: SearchFields, options?: SearchOptions): Promise<SearchResult>;

  /** Yields the events of a search after number `after`; nothing is started, nothing is paid. */
  resume(id: string, after?: number, options?: { signal?: AbortSignal }): AsyncGenerator<SearchEvent, void, void>;

  /** Stops a search, or leaves it to others who share it. */
  cancel(id: string, options?: { signal?: AbortSignal }): Promise<SearchResult>;
}

/** A refusal, a failed search, or a connection that is lost for good (`code: "connection_lost"`). */
export declare class SearchError extends Error {
  constructor(problem: Partial<Problem>, options?: ErrorOptions);
  /** What happened, for programs; missing where the answer came from something in between. */
  readonly code?: Problem["code"] | "connection_lost";
  readonly type?: string;
  readonly title?: string;
  /** The HTTP status; missing when no answer came. */
  readonly status?: number;
  readonly detail: string;
  readonly retryable: boolean;
  /** `maybe`: a repetition may be charged again. */
  readonly billed: Problem["billed"];
  /** Seconds to wait before trying again. */
  readonly retry_after?: number;
  readonly request_id?: string;
  readonly search_id?: string;
  readonly errors?: FieldError[];
  readonly upstream?: UpstreamReport;
  /** What had been found before the failure: it was paid for. */
  readonly result?: SearchResult;
}
