import express from "express";

const { SERVICE, CLIENT_KEY, PORT = 3000 } = process.env; // The key stays here, in your backend.
const app = express();

app.post("/api/search-token", async (request, response) => {
  // Let only your own users through: check your session here.
  const headers = { Authorization: `Bearer ${CLIENT_KEY}`, "Content-Type": "application/json" };
  const minted = await fetch(`${SERVICE}/tokens`, { method: "POST", headers, body: "{}" });
  response.status(minted.status).send((await minted.json()).token);
});

const server = app.listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
