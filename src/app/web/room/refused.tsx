import { follow } from "../router.js";
import type { Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { PageHeading } from "../ui/page-heading.js";
import type { RoomView } from "./room-view.js";

const REFUSED: Readonly<Record<NonNullable<RoomView["refusal"]>, readonly [title: string, text: string]>> = {
  "not-found": [
    "There is no such challenge",
    "It may have been removed, the address may be mistyped, or its room is for invited people: then ask its owner for an invitation link.",
  ],
  full: [
    "This room is full",
    "Too many people are here, or too many tabs of yours. Close some of them, or try again in a while.",
  ],
  refused: ["You cannot enter this room", "The server did not let you in. Try again in a moment."],
};

/** The page of a room that one cannot enter: why, and what to do about it. */
export function Refused({
  refusal,
  signed,
}: {
  readonly refusal: NonNullable<RoomView["refusal"]>;
  readonly signed: Signed;
}) {
  const [title, text] = REFUSED[refusal];
  return (
    <Frame signed={signed}>
      <section class="empty">
        <PageHeading title={title} />
        <p>{text}</p>
        {refusal === "not-found" && (
          <p class="hint">
            You are signed in as <bdi>{signed.user.email}</bdi>. If it was another account that was invited,
            log out and sign in with that one.
          </p>
        )}
        <div class="actions center">
          {refusal !== "not-found" && (
            <button type="button" class="button" onClick={() => location.reload()}>
              Try again
            </button>
          )}
          <a class="button" href="/" onClick={follow}>
            To the challenges
          </a>
        </div>
      </section>
    </Frame>
  );
}
