/**
 * The wall clock may be set back or forth at any time. It is read only where a moment in the world
 * is meant, which is stored, shown, or compared with one of another node; how long something takes
 * is measured by `performance.now()` or the node's clock.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = new URL("..", import.meta.url).pathname;

/** Files, or folders, that may read it, and what for. */
const ALLOWED: Readonly<Record<string, string>> = {
  "src/runtime/gen-server/sys-handlers.ts": "statistics say when they began",
  "src/channels/channel/instrumentation.ts": "telemetry says when an endpoint started",
  "src/channels/socket/socket-server.ts": "a connection ends when its token does",
  "src/channels/protocol/token.ts": "when a token was signed, which another node compares",
  "src/channels/transports/long-poll/listener.ts":
    "when a session's token was issued, which another node compares",
  "src/presence/tracker/": "when an entry was made, which orders the metas of a key on all nodes alike",
  "src/app/channels/session-renewal.ts": "a session ends when its token does",
  "src/app/channels/room-access.ts": "a connection ends at this moment",
  "src/app/rooms/room.ts": "a text says when it was changed",
  "src/app/storage/": "rows say when they were made, and when they expire",
  "src/app/web/room/panels/chat.tsx": "part of a random key",
  "src/app/web/session.ts":
    "a page that slept renews its token when it wakes; timers and performance.now() sleep too",
};

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.tsx?$/.test(entry.name)) yield path;
  }
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
const readsWallClock = (text: string): boolean => /\bDate\.now\b|\bnew Date\(\)/.test(withoutComments(text));

test("the wall clock is read only where a moment in the world is meant", () => {
  const readers = [...sources("src")].filter((path) =>
    readsWallClock(readFileSync(join(ROOT, path), "utf8")),
  );
  const allowed = Object.keys(ALLOWED);
  expect(readers.filter((path) => !allowed.some((prefix) => path.startsWith(prefix)))).toEqual([]);
  expect(allowed.filter((prefix) => !readers.some((path) => path.startsWith(prefix)))).toEqual([]);
});
