import { useCallback, useEffect, useReducer, useRef } from "react";

const IDLE = { status: "idle", phase: null, results: [], text: "", result: null, error: null };

function reduce(state, action) {
  switch (action.type) {
    case "started":
      return { ...IDLE, status: "searching" };
    case "progress":
      return { ...state, phase: action.phase };
    case "results":
      return { ...state, results: [...state.results, ...action.results] };
    case "text":
      return { ...state, text: action.whole };
    case "ended":
      return { ...state, status: action.result.status, phase: null, text: action.result.text, result: action.result };
    case "failed":
      return { ...state, status: "failed", phase: null, error: action.error };
    case "stopped":
      return { ...state, status: "cancelled", phase: null };
  }
}

/**
 * One search at a time: `search(fields)` starts one and ends the one before, `stop()` ends it.
 * `status` is idle, searching, or that of the result; `error` is a SearchError.
 */
export function useImageSearch(client) {
  const [state, dispatch] = useReducer(reduce, IDLE);
  const running = useRef(null);

  const stop = useCallback(() => running.current?.abort(), []);
  useEffect(() => stop, [stop]);

  const search = useCallback(
    async (fields) => {
      stop();
      const current = (running.current = new AbortController());
      const show = (action) => running.current === current && dispatch(action);
      show({ type: "started" });
      try {
        const result = await client.search(fields, {
          signal: current.signal,
          onProgress: ({ phase }) => show({ type: "progress", phase }),
          onResults: ({ results }) => show({ type: "results", results }),
          onText: (_, whole) => show({ type: "text", whole }),
        });
        show({ type: "ended", result });
      } catch (error) {
        show(error.name === "AbortError" ? { type: "stopped" } : { type: "failed", error });
      }
    },
    [client, stop],
  );

  return { ...state, search, stop };
}
