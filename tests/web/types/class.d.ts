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
