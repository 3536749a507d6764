// In a page: `useChat`. Cut off it says `error`; asked to resume, it reads the answer anew.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const transport = new DefaultChatTransport({ api: `${env.SERVICE}/ui/chat` });
const id = crypto.randomUUID();
const parts = [
  { type: "text", text: env.PROMPT },
  { type: "file", mediaType: "image/jpeg", url: env.IMAGE_URL },
];
let cuts = 0;

/** Before 7, the hook would add the answer to what it had of it: it is made anew. */
function Page() {
  const [kept, setKept] = useState([]);
  return <Chat key={kept.length} kept={kept} remount={env.VERSION < "7" && setKept} />;
}

function Chat({ kept, remount }) {
  const chat = useChat({ id, transport, resume: true, messages: kept });
  useEffect(() => {
    if (!kept.length) chat.sendMessage({ role: "user", parts });
  }, []);
  useEffect(() => {
    const last = chat.messages.at(-1);
    if (chat.status === "ready" && last?.metadata?.usage) done({ cuts, messages: chat.messages });
    if (chat.status !== "error") return;
    cuts += 1;
    if (remount) remount(chat.messages.filter(({ role }) => role === "user"));
    else chat.resumeStream();
  }, [chat.status]);
  return null;
}

createRoot(document.body).render(<Page />);
