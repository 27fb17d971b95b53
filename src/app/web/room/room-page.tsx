/** The room: prompt, people and code. What it shows is the link's view; what it does is a few keystrokes away. */
import { useEffect, useRef, useState } from "preact/hooks";
import { follow } from "../router.js";
import { useSession } from "../session.js";
import type { SaveStatus } from "../sync/text-sync.js";
import { Brand, Frame } from "../ui/frame.js";
import { languageName } from "../ui/language-name.js";
import { PageHeading } from "../ui/page-heading.js";
import { PromptText } from "../ui/prompt-text.js";
import { useAnnouncements } from "./announcements.js";
import { CodeEditor } from "./editor.js";
import { People } from "./people.js";
import { type Connection, RoomLink, type RoomView } from "./room-link.js";
import "../styles/room.css";

export function RoomPage({ id }: { readonly id: string }) {
  const signed = useSession();
  const place = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<RoomView>();
  const language = view?.challenge?.language;
  const editor = useRef<CodeEditor>(undefined);

  useEffect(() => {
    if (!place.current || !signed) return;
    let link: RoomLink | undefined;
    const code = new CodeEditor(place.current, "leave-hint", {
      onEdit: (changes) => link?.edited(changes),
      onFocus: () => {},
      onBlur: () => link?.blurred(),
    });
    const room = new RoomLink(id, signed, code, () => setView(room.view));
    link = room;
    editor.current = code;
    setView(room.view);
    return () => {
      room.close();
      code.destroy();
    };
    // A token renewed for the same person keeps the room as it is.
  }, [id, signed?.user.id]);

  useEffect(() => {
    if (language !== undefined) void editor.current?.setLanguage(language);
  }, [language]);

  const announcement = useAnnouncements(view);

  if (!signed) return null;
  if (view?.refusal) return <Refused refusal={view.refusal} />;
  const challenge = view?.challenge;
  return (
    <div class="room">
      <a class="skip" href="#code">
        Skip to the code
      </a>
      <header class="room-head">
        <Brand />
        <a class="back" href="/" onClick={follow}>
          <span aria-hidden="true">←</span> Challenges
        </a>
        <Banner
          connection={view?.connection ?? "connecting"}
          save={view?.save ?? "saved"}
          problem={view?.problem}
        />
        <Saved status={view?.save ?? "saved"} ready={challenge !== undefined} />
      </header>
      <p class="visually-hidden" role="status" aria-live="polite">
        {announcement}
      </p>
      <main class="room-main">
        <section class="task" aria-label="Challenge">
          <div class="task-head">
            <PageHeading title={challenge?.title ?? "Opening the room…"} />
            {challenge && (
              <span class={`language ${challenge.language}`}>{languageName(challenge.language)}</span>
            )}
          </div>
          <details class="prompt" open>
            <summary>Prompt</summary>
            {challenge ? (
              <PromptText text={challenge.prompt} />
            ) : (
              <div class="skeleton" aria-hidden="true">
                <i />
                <i />
                <i />
              </div>
            )}
          </details>
          <People
            people={view?.people ?? []}
            stale={view?.connection === "reconnecting"}
            ready={challenge !== undefined}
          />
        </section>
        <section class="code-pane" aria-label="Shared code" id="code" tabIndex={-1}>
          <div class={challenge ? "code-place" : "code-place waiting"} ref={place} />
          <p class="leave-hint" id="leave-hint">
            <kbd>Tab</kbd> indents. <kbd>Esc</kbd>, then <kbd>Tab</kbd> leaves the editor.
          </p>
        </section>
      </main>
    </div>
  );
}

const SAVED: Readonly<Record<SaveStatus, string>> = {
  saved: "Saved",
  saving: "Saving…",
  unsaved: "Not saved yet",
};

function Saved({ status, ready }: { readonly status: SaveStatus; readonly ready: boolean }) {
  return (
    <span class={`saved ${status}`} data-save={ready ? status : "none"}>
      {ready ? SAVED[status] : ""}
    </span>
  );
}

interface BannerProps {
  readonly connection: Connection;
  readonly save: SaveStatus;
  readonly problem: string | undefined;
}

/** Says what is going on with the connection, and what that means for what one types. */
function Banner({ connection, save, problem }: BannerProps) {
  const text = bannerText(connection, save, problem);
  // A connect that takes no longer than a blink is not worth a flash of colour (the style sheet delays "connecting").
  return (
    <div class={`banner ${text ? connection : "none"}`} data-connection={connection}>
      {text}
    </div>
  );
}

function bannerText(connection: Connection, save: SaveStatus, problem: string | undefined): string {
  if (connection === "connecting") return "Connecting…";
  if (connection === "reconnecting") {
    return save === "saved"
      ? "Connection lost. Reconnecting… You can go on typing."
      : "Connection lost. Reconnecting… What you type is kept on this page until it is saved.";
  }
  if (save === "unsaved") {
    return `${problem ? `${problem}. ` : "The server does not answer. "}Your text is kept on this page and sent again.`;
  }
  return connection === "back" ? "Connected again. Everybody sees the same text." : "";
}

function Refused({ refusal }: { readonly refusal: NonNullable<RoomView["refusal"]> }) {
  const lost = refusal === "not-found";
  return (
    <Frame>
      <section class="empty">
        <PageHeading title={lost ? "There is no such challenge" : "You cannot enter this room"} />
        <p>
          {lost ? "It may have been removed, or the address is mistyped." : "The server did not let you in."}
        </p>
        <div class="actions center">
          {!lost && (
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
