// app/api/search-token/route.js
const { SERVICE, CLIENT_KEY } = process.env; // The key stays here, in your backend.

export async function POST() {
  // Let only your own users through: check your session here.
  const headers = { Authorization: `Bearer ${CLIENT_KEY}`, "Content-Type": "application/json" };
  const minted = await fetch(`${SERVICE}/tokens`, { method: "POST", headers, body: "{}" });
  return new Response((await minted.json()).token, { status: minted.status });
}
