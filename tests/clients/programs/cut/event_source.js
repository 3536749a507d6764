// In a page: `EventSource`, and what people use in its place.
import { EventSourcePolyfill } from "event-source-polyfill";
import ReactNativeSse from "react-native-sse";
import { follow } from "./follow.mjs";

/** Where a broken request has status 0, as in browsers, it says so and leaves it at that. */
class Reopening extends ReactNativeSse.default {
  constructor(url) {
    super(url);
    this.addEventListener("error", () => this.open());
  }
}

const SOURCES = {
  EventSource,
  "event-source-polyfill": EventSourcePolyfill,
  "react-native-sse": Reopening,
};
follow(SOURCES[env.KIND], env).then(done);
