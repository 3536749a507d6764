/** What the test hands over: JSON in the standard input. */
import { readFileSync } from "node:fs";

export const given = JSON.parse(readFileSync(0, "utf8"));
