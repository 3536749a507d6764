// npm's `eventsource`, the version named by the argument: it resumes by itself.
import { follow } from "./follow.mjs";

const version = await import(process.argv[2]);
console.log(JSON.stringify(await follow(version.EventSource ?? version.default, process.env)));
