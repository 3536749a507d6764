/** What the test hands over: JSON in the standard input. */
import { json } from "node:stream/consumers";

export const given = await json(process.stdin);
