import { expect, test } from "vitest";
import {
  discarded,
  emptyChat,
  type Message,
  received,
  written,
} from "../../../../src/app/web/room/panels/chat-messages.js";

const message = (id: number, text = `text ${id}`): Message => ({
  id,
  user_id: 1,
  first_name: "Ann",
  text,
  at: "2026-01-01T00:00:00.000Z",
});
const texts = (chat: typeof emptyChat): string[] => [
  ...chat.messages.map(({ text }) => text),
  ...chat.drafts.map(({ text }) => `${text}…`),
];

test("messages stand in the server's order, each once, in whatever order they come", () => {
  const chat = received(received(received(emptyChat, [message(3)]), [message(1), message(2)]), [message(3)]);
  expect(texts(chat)).toEqual(["text 1", "text 2", "text 3"]);
});

test("what is on its way stands last, and is there once when it comes back", () => {
  const waiting = written(received(emptyChat, [message(1)]), { key: "k", text: "mine" });
  expect(texts(waiting)).toEqual(["text 1", "mine…"]);
  expect(texts(received(waiting, [message(2)], "other"))).toEqual(["text 1", "text 2", "mine…"]);
  expect(texts(received(waiting, [message(2, "mine")], "k"))).toEqual(["text 1", "mine"]);
});

test("what could not be sent says why, can be sent again, and can be thrown away", () => {
  const failed = written(written(emptyChat, { key: "k", text: "mine" }), {
    key: "k",
    text: "mine",
    problem: "no",
  });
  expect(failed.drafts).toEqual([{ key: "k", text: "mine", problem: "no" }]);
  expect(written(failed, { key: "k", text: "mine" }).drafts).toEqual([{ key: "k", text: "mine" }]);
  expect(discarded(failed, "k")).toEqual(emptyChat);
});

test("what is no message is left out, and a long talk keeps its newest part", () => {
  expect(received(emptyChat, [null, 5, {}, { ...message(1), text: 5 }, { ...message(1), id: "1" }])).toEqual(
    emptyChat,
  );
  const long = received(
    emptyChat,
    Array.from({ length: 600 }, (_, n) => message(n + 1)),
  );
  expect(long.messages).toHaveLength(500);
  expect(long.messages.at(-1)?.id).toBe(600);
});
