/** Reads the service's OpenAPI document and prints client.d.ts: its schemas, then class.d.ts. */
import { readFileSync } from "node:fs";
import { json } from "node:stream/consumers";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const ROOTS = ["SearchRequest", "SearchResult", "Problem", "StreamEvent"];
const HEAD = "/** Types of client.js, made by `make types` from the OpenAPI document: do not edit. */\n\n";

const { info, openapi, components } = await json(process.stdin);

/** The roots and all that they refer to, by name. */
function reachable(names, found = new Set()) {
  for (const name of names) {
    if (found.has(name)) continue;
    found.add(name);
    const references = JSON.stringify(components.schemas[name]).matchAll(/schemas\/(\w+)/g);
    reachable(Array.from(references, ([, other]) => other), found);
  }
  return [...found].sort();
}

/** A schema without titles and defaults, which would only be repeated in comments. */
function plain(schema) {
  if (Array.isArray(schema)) return schema.map(plain);
  if (typeof schema !== "object" || schema === null) return schema;
  const isComment = ([name, value]) => name === "default" || (name === "title" && typeof value === "string");
  const kept = Object.entries(schema).filter((member) => !isComment(member));
  return Object.fromEntries(kept.map(([name, value]) => [name, plain(value)]));
}

const schemas = Object.fromEntries(reachable(ROOTS).map((name) => [name, plain(components.schemas[name])]));
// Which models there are is a setting of each service.
schemas.SearchRequest.properties.model.anyOf = [{ type: "string" }, { type: "null" }];

const nodes = await openapiTS({ openapi, info, paths: {}, components: { schemas } });
const found = nodes.find(({ name }) => name.text === "components");
const { members } = found.members.find(({ name }) => name.text === "schemas").type;
const exported = [ts.factory.createModifier(ts.SyntaxKind.ExportKeyword)];
const types = members.map(({ name, type }) =>
  astToString(ts.factory.createTypeAliasDeclaration(exported, name, undefined, type)),
);
const text = types
  .join("\n")
  .replaceAll(/components\["schemas"\]\["(\w+)"\]/g, "$1")
  .replaceAll(/^ *\* @(constant|enum).*\n/gm, "")
  .replaceAll(" (enum property replaced by openapi-typescript)", "")
  .replaceAll("@description ", "")
  .replaceAll(/^( *\*) {2,}/gm, "$1 ")
  .replaceAll(/\/\*\*\n *\* (.*)\n *\*\//g, "/** $1 */")
  .replaceAll(/^( +)/gm, (blanks) => blanks.slice(blanks.length / 2));
process.stdout.write(HEAD + text + "\n" + readFileSync(new URL("class.d.ts", import.meta.url), "utf8"));
