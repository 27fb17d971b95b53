/**
 * Shows all users who may enter this room; its owner decides. A link that lets people in is
 * shown once, when it is made: the server keeps only what it needs to recognise it.
 */
import { useCallback, useEffect, useState } from "preact/hooks";
import { api, messageOf } from "../../api.js";
import { navigate } from "../../router.js";
import { joinPath, roomPath } from "../../routes.js";
import type { ChallengeDetails, Invitation, Member, Sharing } from "../../types.js";
import { Notice } from "../../ui/notice.js";
import { toast } from "../../ui/toasts.js";
import { shownOf, useLoading } from "../../ui/use-loading.js";
import type { PanelProps } from "../panels.js";
import type { Person } from "../presence-list.js";

type Known = { readonly details: ChallengeDetails; readonly sharing: Sharing | undefined };

export function SharePanel({ room, challenge, view, shown }: PanelProps) {
  const id = String(challenge.id);
  const [stamp, setStamp] = useState(0);
  const refresh = useCallback(() => setStamp((n) => n + 1), []);
  useEffect(() => room.on("room:access", refresh), [room, refresh]);
  useEffect(() => room.on("room:closed", leave), [room]);
  // Looked up when it is first shown, and again when something has changed.
  const [loading, retry] = useLoading(
    `${id} ${stamp} ${shown}`,
    async (signal): Promise<Known | undefined> => {
      if (!shown) return undefined;
      const details = await api.challengeDetails(id, signal);
      return { details, sharing: details.role === "owner" ? await api.sharing(id, signal) : undefined };
    },
  );
  const known = shownOf(loading);

  return (
    <div class="share">
      <h2>Share this room</h2>
      {loading.state === "failed" && (
        <Notice tone="error" action={{ label: "Try again", run: retry }}>
          {loading.message}
        </Notice>
      )}
      {!known && loading.state === "loading" && <p class="hint">Loading…</p>}
      {known && <Address id={id} details={known.details} />}
      {known?.sharing && (
        <OwnersPart id={id} sharing={known.sharing} people={view.people} refresh={refresh} />
      )}
    </div>
  );
}

const CLOSED: Readonly<Record<string, string>> = {
  removed: "The owner of that room has closed it for you. Ask them if you want back in.",
  deleted: "The owner of that challenge has deleted it, and its room is closed.",
};

/** The server has ended this room for us. */
function leave(payload: unknown): void {
  const { reason } = payload as { reason?: unknown };
  toast({ tone: "error", text: CLOSED[String(reason)] ?? "That room is closed." });
  navigate("/", { replace: true });
}

const WHO: Readonly<Record<ChallengeDetails["access"], string>> = {
  open: "All who are signed in may edit here, unless their role says otherwise.",
  restricted: "Only its owner and the people they invited may come in.",
};

function Address({ id, details }: { readonly id: string; readonly details: ChallengeDetails }) {
  return (
    <>
      <p>
        {WHO[details.access]}
        {details.role === "view" && " You may only read and chat."}
      </p>
      <CopyField label="Address of this room" value={location.origin + roomPath(id)} />
    </>
  );
}

function CopyField({ label, value }: { readonly label: string; readonly value: string }) {
  const copy = (): void => {
    const failed = (): void =>
      toast({ tone: "error", text: "It could not be copied. Select the address and copy it yourself." });
    // Without https there is no clipboard for pages.
    if (navigator.clipboard) {
      navigator.clipboard.writeText(value).then(() => toast({ tone: "info", text: "Copied." }), failed);
    } else failed();
  };
  const id = `copy-${label.replaceAll(/\W+/g, "-")}`;
  return (
    <div class="field copy">
      <label for={id}>{label}</label>
      <div class="copy-row">
        <input id={id} readOnly value={value} onFocus={(event) => event.currentTarget.select()} />
        <button type="button" class="button" onClick={copy} aria-label={`Copy: ${label}`}>
          Copy
        </button>
      </div>
    </div>
  );
}

interface OwnersProps {
  readonly id: string;
  readonly sharing: Sharing;
  readonly people: readonly Person[];
  readonly refresh: () => void;
}

function OwnersPart({ id, sharing, people, refresh }: OwnersProps) {
  const act = async (work: () => Promise<unknown>, done?: string): Promise<void> => {
    try {
      await work();
      if (done) toast({ tone: "info", text: done });
    } catch (error) {
      toast({
        tone: "error",
        text: messageOf(error),
        action: { label: "Try again", run: () => void act(work, done) },
      });
    }
    refresh();
  };
  const setRole = (userId: string | number, role: Member["role"]): void =>
    void act(() => api.setMember(id, userId, role));
  const members = new Set(sharing.members.map(({ user_id }) => String(user_id)));
  const guests = people.filter((person) => !person.you && !members.has(person.id));

  return (
    <>
      <fieldset class="share-access">
        <legend>Who may come in</legend>
        {(["open", "restricted"] as const).map((access) => (
          <label key={access} class="check">
            <input
              type="radio"
              name="access"
              checked={sharing.access === access}
              onInput={() => void act(() => api.changeChallenge(id, { access }))}
            />
            {access === "open" ? "Everyone who is signed in" : "Only people I invite"}
          </label>
        ))}
        {sharing.access === "open" && (
          <p class="hint">
            They may edit, but for those whom you let only read or send away, below or by a link to read.
          </p>
        )}
      </fieldset>
      <Invitations id={id} invitations={sharing.invitations} act={act} />
      {(members.size > 0 || guests.length > 0) && (
        <section aria-labelledby="share-people">
          <h3 id="share-people">People</h3>
          <ul class="share-list">
            {sharing.members.map(({ user_id, first_name, role }) => (
              <li key={user_id}>
                <bdi>{first_name}</bdi>
                <select
                  aria-label={`What ${first_name} may do`}
                  value={role}
                  onInput={(event) => setRole(user_id, event.currentTarget.value as Member["role"])}
                >
                  <option value="edit">may edit</option>
                  <option value="view">may read</option>
                  <option value="removed">is sent away</option>
                </select>
              </li>
            ))}
            {guests.map((person) => (
              <li key={person.id}>
                <bdi>{person.name}</bdi>
                <button
                  type="button"
                  class="button quiet"
                  onClick={() => setRole(person.id, "removed")}
                  aria-label={`Send ${person.name} away`}
                >
                  Send away
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

const HOURS: readonly (readonly [hours: number, label: string])[] = [
  [1, "an hour"],
  [24, "a day"],
  [24 * 7, "a week"],
  [24 * 30, "a month"],
];

interface InvitationsProps {
  readonly id: string;
  readonly invitations: readonly Invitation[];
  readonly act: (work: () => Promise<unknown>, done?: string) => Promise<void>;
}

function Invitations({ id, invitations, act }: InvitationsProps) {
  const [role, setRole] = useState<Invitation["role"]>("edit");
  const [hours, setHours] = useState(24 * 7);
  const [link, setLink] = useState<string>();
  const make = (): Promise<void> =>
    act(async () => {
      const { token } = await api.invite(id, { role, hours });
      setLink(location.origin + joinPath(token));
    });
  return (
    <section aria-labelledby="share-links">
      <h3 id="share-links">Invitation links</h3>
      <div class="share-new">
        <label>
          <span>Anyone with the link may</span>
          <select value={role} onInput={(event) => setRole(event.currentTarget.value as Invitation["role"])}>
            <option value="edit">edit</option>
            <option value="view">read only</option>
          </select>
        </label>
        <label>
          <span>for</span>
          <select value={String(hours)} onInput={(event) => setHours(Number(event.currentTarget.value))}>
            {HOURS.map(([value, label]) => (
              <option key={value} value={String(value)}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="button" onClick={() => void make()}>
          Make a link
        </button>
      </div>
      {link && (
        <>
          <CopyField label="New link" value={link} />
          <p class="hint">It is shown this once. Make another if it gets lost.</p>
        </>
      )}
      {invitations.length > 0 && (
        <ul class="share-list">
          {invitations.map((invitation) => (
            <li key={invitation.id}>
              <span>
                {invitation.role === "edit" ? "To edit" : "To read"}, until{" "}
                <time dateTime={invitation.expires_at}>
                  {new Date(invitation.expires_at).toLocaleString([], {
                    dateStyle: "medium",
                    timeStyle: "short",
                  })}
                </time>
                {invitation.uses > 0 &&
                  `, accepted ${invitation.uses} ${invitation.uses === 1 ? "time" : "times"}`}
              </span>
              <button
                type="button"
                class="button quiet"
                onClick={() => {
                  setLink(undefined);
                  void act(() => api.revokeInvitation(id, invitation.id), "The link is no longer valid.");
                }}
              >
                Revoke
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
