// What programs of the documents leave to their reader; the program is put behind it.
import { readFileSync as readFile } from "node:fs";
const called = new Set(), answer = {}, signal = undefined;
const file = new File([readFile("photo.jpg")], "photo.jpg"), input = { files: [file] };
const image_url = process.env.IMAGE_URL, prompt = "What is this?", token = process.env.TOKEN, access_token = token;
const tokenFromYourBackend = async () => token;
const { fetch: network } = globalThis;
globalThis.window = globalThis;
globalThis.document = { addEventListener() {}, removeEventListener() {} };
globalThis.fetch = (address, request) => {
  if (String(address).startsWith("/token")) return Promise.resolve(new Response(token));
  const headers = new Headers(request.headers);
  if (!headers.has("Authorization")) headers.set("Authorization", `Bearer ${token}`);
  return network(address, { ...request, headers });
};
