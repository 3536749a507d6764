/** The programs that the page shows for a search; each of them has to parse. */
import { ways } from "../../../app/web/examples.js";
import { given } from "./input.mjs";

const programs = Object.fromEntries(Object.entries(ways).map(([name, way]) => [name, way(given)]));
new Function(programs.EventSource);
console.log(JSON.stringify(programs));
