/**
 * The room: task, people and code. What it shows is the link's view; what it does is a few
 * keystrokes away.
 */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { follow } from "../router.js";
import { useSession } from "../session.js";
import type { SaveStatus } from "../sync/doc-sync.js";
import { Brand } from "../ui/frame.js";
import { PageHeading } from "../ui/page-heading.js";
import { PromptText } from "../ui/prompt-text.js";
import { toast } from "../ui/toasts.js";
import { useAnnouncements } from "./announcements.js";
import { bannerOf } from "./banner.js";
import { CodeBar, copy } from "./code-bar.js";
import { CodeEditor } from "./editor.js";
import { Lazy } from "./lazy.js";
import { PANELS } from "./panels.js";
import { People } from "./participants.js";
import { RoomLink } from "./room-link.js";
import type { RoomView } from "./room-view.js";
import { type Tab, Tabs, tabId, tabPanelId } from "./tabs.js";
import { useWide } from "./use-wide.js";
import "../styles/room.css";

const refused = async () => (await import("./refused.js")).Refused;

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
      onMove: () => link.current?.moved(),
      onBlur: () => link.current?.blurred(),
      onOwnWay: () => link.current?.follow(undefined),
      onFull: () =>
        toast({ tone: "error", text: "That does not fit: a text may have 1 MiB. Shorten it first." }),
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

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.key === "Escape") link.current?.follow(undefined);
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);

  const rescued = view?.rescued;
  useEffect(() => {
    if (rescued === undefined) return;
    toast({
      tone: "error",
      text: "The document was replaced while you had unsaved edits. Your text of before can be copied.",
      action: { label: "Copy it", run: () => void copy(rescued) },
    });
  }, [rescued]);

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
  if (view?.refusal) return <Lazy load={refused} props={{ refusal: view.refusal, signed }} />;
  const challenge = view?.challenge;
  const banner = view && bannerOf(view);
  const leader = view?.people.find((person) => person.id === view.following);

  // Where there is room for them, code and people are always shown; on a phone they are tabs among
  // the others.
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
      <a
        class="skip"
        href={`#${tabPanelId("code")}`}
        onClick={(event) => {
          setChosen("code");
          if (!view?.ready) return;
          event.preventDefault();
          // On a phone it is shown first.
          requestAnimationFrame(() => editor.current?.focus());
        }}
      >
        Skip to the code
      </a>
      <header class="room-head">
        <Brand />
        <a class="back" href="/" onClick={follow}>
          <span aria-hidden="true">←</span> Challenges
        </a>
        <div class={`banner ${banner?.tone ?? "none"}`} data-connection={view?.connection ?? "connecting"}>
          {banner?.text}
        </div>
        <Saved status={view?.save ?? "saved"} ready={view?.ready === true} />
      </header>
      <p class="visually-hidden" role="status" aria-live="polite">
        {announcement}
      </p>
      <main class="room-main">
        {shown !== "task" && (
          <div class="visually-hidden">
            <PageHeading title={challenge?.title ?? "Opening the room…"} focus={false} />
          </div>
        )}
        {tabs.length > 1 && <Tabs label="Room" tabs={tabs} selected={shown} onSelect={setChosen} />}
        <section {...panel("task")} class="task">
          <div class="task-head">
            <PageHeading title={challenge?.title ?? "Opening the room…"} />
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
        {PANELS.map(({ id: name, load }) => (
          <section {...panel(name)} class="panel" key={name}>
            {challenge && link.current && view && (
              <Lazy
                load={load}
                props={{
                  room: link.current.channel,
                  challenge,
                  signed,
                  view,
                  shown: shown === name,
                  onUnseen: onUnseen[name]!,
                }}
              />
            )}
          </section>
        ))}
        <div {...panel("people", wide)} class="people-pane">
          <People
            people={view?.people ?? []}
            stale={view?.connection === "reconnecting"}
            ready={challenge !== undefined}
            following={view?.following}
            onFollow={(person) => {
              link.current?.follow(person);
              if (person !== undefined && !wide) setChosen("code");
            }}
          />
        </div>
        <section {...panel("code", wide)} class="code-pane" tabIndex={-1}>
          {challenge && view && (
            <CodeBar
              challenge={challenge}
              canWrite={view.canWrite}
              read={() => editor.current?.value ?? ""}
            />
          )}
          {leader && (
            <p class={`following peer-${leader.color}`}>
              <span>
                Following <bdi>{leader.name}</bdi>
              </span>
              <button type="button" class="button quiet" onClick={() => link.current?.follow(undefined)}>
                <span>Stop</span> <kbd>Esc</kbd>
              </button>
            </p>
          )}
          {!view?.ready && (
            <div class="skeleton code-skeleton" aria-hidden="true">
              <i />
              <i />
              <i />
            </div>
          )}
          <div class={view?.ready ? "code-place" : "code-place waiting"} ref={place} />
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
