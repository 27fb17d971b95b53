/** The room: prompt, people and code. What it shows is the link's view; what it does is a few keystrokes away. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { follow } from "../router.js";
import { useSession } from "../session.js";
import type { SaveStatus } from "../sync/text-sync.js";
import { Brand, Frame } from "../ui/frame.js";
import { languageName } from "../ui/language-name.js";
import { PageHeading } from "../ui/page-heading.js";
import { PromptText } from "../ui/prompt-text.js";
import { useAnnouncements } from "./announcements.js";
import { CodeEditor } from "./editor.js";
import { PANELS } from "./panels.js";
import { People } from "./people.js";
import { type Connection, RoomLink, type RoomView } from "./room-link.js";
import { type Tab, Tabs, tabId, tabPanelId } from "./tabs.js";
import { useWide } from "./use-wide.js";
import "../styles/room.css";

export function RoomPage({ id }: { readonly id: string }) {
  const signed = useSession();
  const place = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<RoomView>();
  const language = view?.challenge?.language;
  const editor = useRef<CodeEditor>(undefined);
  const link = useRef<RoomLink>(undefined);

  useEffect(() => {
    if (!place.current || !signed) return;
    const code = new CodeEditor(place.current, "leave-hint", {
      onEdit: (changes) => link.current?.edited(changes),
      onFocus: () => {},
      onBlur: () => link.current?.blurred(),
    });
    const room = new RoomLink(id, signed, code, () => setView(room.view));
    link.current = room;
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
  const wide = useWide();
  const [chosen, setChosen] = useState("code");
  const [unseen, setUnseen] = useState<Readonly<Record<string, number>>>({});
  const onUnseen = useMemo(
    () =>
      Object.fromEntries(
        PANELS.map((panel) => [
          panel.id,
          (count: number) => setUnseen((before) => ({ ...before, [panel.id]: count })),
        ]),
      ),
    [],
  );

  if (!signed) return null;
  if (view?.refusal) return <Refused refusal={view.refusal} />;
  const challenge = view?.challenge;

  // Where there is room for them, code and people are always shown; on a phone they are tabs among the others.
  const tabs: readonly Tab[] = [
    ...(wide ? [] : [{ id: "code", title: "Code" }]),
    { id: "task", title: "Task" },
    ...(wide ? [] : [{ id: "people", title: "People", count: view?.people.length ?? 0 }]),
    ...PANELS.map(({ id: name, title }) => ({ id: name, title, count: unseen[name] ?? 0 })),
  ];
  const shown = tabs.some((tab) => tab.id === chosen) ? chosen : "task";
  const panel = (name: string, always = false) => ({
    id: tabPanelId(name),
    hidden: !always && shown !== name,
    ...(always || tabs.length === 1
      ? { "aria-label": PLACES[name] }
      : { role: "tabpanel" as const, "aria-labelledby": tabId(name) }),
  });

  return (
    <div class="room">
      <a class="skip" href={`#${tabPanelId("code")}`} onClick={() => setChosen("code")}>
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
        {tabs.length > 1 && <Tabs label="Room" tabs={tabs} selected={shown} onSelect={setChosen} />}
        <section {...panel("task")} class="task">
          <div class="task-head">
            <PageHeading title={challenge?.title ?? "Opening the room…"} />
            {challenge && (
              <span class={`language ${challenge.language}`}>{languageName(challenge.language)}</span>
            )}
          </div>
          {challenge ? (
            <PromptText text={challenge.prompt} />
          ) : (
            <div class="skeleton" aria-hidden="true">
              <i />
              <i />
              <i />
            </div>
          )}
        </section>
        {PANELS.map(({ id: name, Content }) => (
          <section {...panel(name)} class="panel" key={name}>
            {challenge && link.current && view && (
              <Content
                room={link.current.channel}
                challenge={challenge}
                signed={signed}
                view={view}
                shown={shown === name}
                onUnseen={onUnseen[name]!}
              />
            )}
          </section>
        ))}
        <div {...panel("people", wide)} class="people-pane">
          <People
            people={view?.people ?? []}
            stale={view?.connection === "reconnecting"}
            ready={challenge !== undefined}
          />
        </div>
        <section {...panel("code", wide)} class="code-pane" tabIndex={-1}>
          <div class={challenge ? "code-place" : "code-place waiting"} ref={place} />
          <p class="leave-hint" id="leave-hint">
            <kbd>Tab</kbd> indents. <kbd>Esc</kbd>, then <kbd>Tab</kbd> leaves the editor.
          </p>
        </section>
      </main>
    </div>
  );
}

/** What the parts of a wide page are called, which have no tab to name them. */
const PLACES: Readonly<Record<string, string>> = {
  code: "Shared code",
  task: "Challenge",
  people: "People",
};

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
