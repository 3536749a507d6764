import { SearchClient } from "imagesearch-client";
import { useState } from "react";
import { useImageSearch } from "./useImageSearch.js";

const client = new SearchClient({
  url: import.meta.env.VITE_SERVICE ?? "http://127.0.0.1:8000",
  // With client keys: token: async () => (await fetch("/api/search-token", { method: "POST" })).text(),
});

export function App() {
  const { status, phase, results, text, error, search, stop } = useImageSearch(client);
  const [prompt, setPrompt] = useState("What is this?");
  const [file, setFile] = useState(null);

  const submit = (event) => {
    event.preventDefault();
    search({ image: file, prompt });
  };

  return (
    <main>
      <h1>Search by image</h1>
      <form onSubmit={submit}>
        <label>
          Picture <input type="file" accept="image/*" required onChange={(event) => setFile(event.target.files[0])} />
        </label>
        <label>
          Question <input value={prompt} onChange={(event) => setPrompt(event.target.value)} />
        </label>
        <button disabled={status === "searching"}>Search</button>
        <button type="button" disabled={status !== "searching"} onClick={stop}>
          Stop
        </button>
      </form>
      <p role="status">{phase ?? status}</p>
      {error && <p role="alert">{error.message}</p>}
      <ol>
        {results.map((found) => (
          <Card key={`${found.image} ${found.index}`} {...found} />
        ))}
      </ol>
      <p>{text}</p>
    </main>
  );
}

/** A picture, or only its title where it does not load. */
function Card({ title, url }) {
  const [loads, setLoads] = useState(true);
  return (
    <li>
      <a href={url} target="_blank" rel="noopener noreferrer">
        {loads && <img src={url} alt="" width="160" referrerPolicy="no-referrer" onError={() => setLoads(false)} />}
        {title}
      </a>
    </li>
  );
}
