/**
 * The chat of the room. What was written and could not be sent stays, says why, and can be sent
 * again.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import type { PanelProps } from "../panels.js";
import { PushError } from "../room-events.js";
import { type Chat, discarded, emptyChat, type Message, received, written } from "./chat-messages.js";

const MOST_BYTES = 2048;
const encoder = new TextEncoder();

export function ChatPanel({ room, signed, shown, onUnseen }: PanelProps) {
  const [chat, setChat] = useState<Chat>(emptyChat);
  const [older, setOlder] = useState(false);
  const seen = useRef(0);
  const list = useRef<HTMLDivElement>(null);
  const last = chat.messages.at(-1)?.id ?? 0;

  useEffect(() => {
    const load = (): void => {
      room.push("chat:history", {}).then(
        (answer) => {
          const messages = messagesOf(answer);
          setOlder(messages.length === PAGE);
          setChat((now) => {
            // What was said before one came has not been missed.
            if (seen.current === 0) seen.current = received(emptyChat, messages).messages.at(-1)?.id ?? 0;
            return received(now, messages);
          });
        },
        () => {
          // The next join asks again.
        },
      );
    };
    const stops = [
      room.onJoin(load),
      room.on("chat:message", (message) => {
        const { key } = message as { key?: unknown };
        setChat((now) => received(now, [message], typeof key === "string" ? key : undefined));
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }, [room]);

  useEffect(() => {
    if (shown) seen.current = last;
    onUnseen(
      chat.messages.filter(({ id, user_id }) => id > seen.current && user_id !== Number(signed.user.id))
        .length,
    );
  }, [shown, last, chat.messages, onUnseen, signed.user.id]);

  // The newest message is in view, as long as one has not scrolled back to read.
  useEffect(() => {
    const element = list.current;
    if (element && shown) element.scrollTop = element.scrollHeight;
  }, [shown, last, chat.drafts.length]);

  const send = (text: string, key: string): void => {
    setChat((now) => written(now, { key, text }));
    room.push("chat:send", { text, key }).then(
      () => {
        // It comes back like the messages of others.
      },
      (error: unknown) => setChat((now) => written(now, { key, text, problem: problemOf(error) })),
    );
  };

  const showOlder = (): void => {
    room.push("chat:history", { before: chat.messages[0]?.id }).then(
      (answer) => {
        const messages = messagesOf(answer);
        setOlder(messages.length === PAGE);
        setChat((now) => received(now, messages));
      },
      () => {
        // The button is still there.
      },
    );
  };

  return (
    <div class="chat">
      <h2 class="visually-hidden">Chat</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard alone */}
      <div class="chat-list" ref={list} role="log" aria-label="Messages" tabIndex={0}>
        <ol>
          {older && (
            <li class="chat-older">
              <button type="button" class="button quiet" onClick={showOlder}>
                Show older messages
              </button>
            </li>
          )}
          {chat.messages.length === 0 && chat.drafts.length === 0 && (
            <li class="hint">Nothing has been said yet. Everyone in this room reads what you write.</li>
          )}
          {chat.messages.map((message) => (
            <ChatLine key={message.id} message={message} mine={message.user_id === Number(signed.user.id)} />
          ))}
          {chat.drafts.map(({ key, text, problem }) => (
            <li key={key} class={problem ? "chat-line failed" : "chat-line waiting"}>
              <p class="chat-text" dir="auto">
                {text}
              </p>
              <p class="hint" role={problem ? "alert" : undefined}>
                {problem ?? "Sending…"}
                {problem && (
                  <>
                    {" "}
                    <button type="button" class="link" onClick={() => send(text, key)}>
                      Send again
                    </button>{" "}
                    <button type="button" class="link" onClick={() => setChat((now) => discarded(now, key))}>
                      Discard
                    </button>
                  </>
                )}
              </p>
            </li>
          ))}
        </ol>
      </div>
      <Composer onSend={(text) => send(text, crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`)} />
    </div>
  );
}

const PAGE = 50;

const messagesOf = (answer: unknown): readonly unknown[] => {
  const messages = (answer as { messages?: unknown } | undefined)?.messages;
  return Array.isArray(messages) ? messages : [];
};

function problemOf(error: unknown): string {
  const reason = error instanceof PushError ? error.reason : "";
  if (reason === "offline") return "Not sent: there is no connection.";
  if (reason === "rate") return "Not sent: that was very fast. Wait a moment.";
  if (reason === "invalid") return "Not sent: the server cannot take this text.";
  return "Not sent: the server did not answer.";
}

function ChatLine({ message, mine }: { readonly message: Message; readonly mine: boolean }) {
  const at = new Date(message.at);
  return (
    <li class={mine ? "chat-line mine" : "chat-line"}>
      <p class="chat-who">
        <bdi>{mine ? "You" : message.first_name}</bdi>{" "}
        <time dateTime={message.at} title={at.toLocaleString()}>
          {at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
        </time>
      </p>
      <p class="chat-text" dir="auto">
        {message.text}
      </p>
    </li>
  );
}

function Composer({ onSend }: { readonly onSend: (text: string) => void }) {
  const [text, setText] = useState("");
  const bytes = encoder.encode(text).length;
  const tooLong = bytes > MOST_BYTES;
  const send = (): void => {
    if (text.trim() === "" || tooLong) return;
    // A frame with half a surrogate pair would end the connection.
    onSend(text.trim().toWellFormed());
    setText("");
  };
  return (
    <form
      class="chat-form"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label for="chat-text">Message</label>
      <textarea
        id="chat-text"
        rows={2}
        value={text}
        dir="auto"
        aria-describedby="chat-hint"
        aria-invalid={tooLong}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <p class={tooLong ? "error" : "hint"} id="chat-hint">
        {tooLong
          ? `Too long by ${bytes - MOST_BYTES} bytes.`
          : "Enter sends, Shift and Enter begins a new line."}
      </p>
      <button type="submit" class="button">
        Send
      </button>
    </form>
  );
}
