/**
 * The messages of a chat as one sees them: those of the server in their order, each once, and after
 * them what was written here and is not there yet. Pure.
 */
export interface Message {
  readonly id: number;
  readonly user_id: number;
  readonly first_name: string;
  readonly text: string;
  readonly at: string;
}

export interface Draft {
  readonly key: string;
  readonly text: string;
  /** Why it was not sent; undefined while it is on its way. */
  readonly problem?: string | undefined;
}

export interface Chat {
  readonly messages: readonly Message[];
  readonly drafts: readonly Draft[];
}

export const emptyChat: Chat = { messages: [], drafts: [] };

/** At most so many are kept here; older ones can be asked for. */
const MOST = 500;

export function received(chat: Chat, messages: readonly unknown[], key?: string): Chat {
  const known = new Map(chat.messages.map((message) => [message.id, message]));
  for (const message of messages) if (isMessage(message)) known.set(message.id, message);
  return {
    messages: [...known.values()].sort((a, b) => a.id - b.id).slice(-MOST),
    drafts: key === undefined ? chat.drafts : chat.drafts.filter((draft) => draft.key !== key),
  };
}

export const written = (chat: Chat, draft: Draft): Chat => ({
  ...chat,
  drafts: [...chat.drafts.filter(({ key }) => key !== draft.key), draft],
});

export const discarded = (chat: Chat, key: string): Chat => ({
  ...chat,
  drafts: chat.drafts.filter((draft) => draft.key !== key),
});

function isMessage(value: unknown): value is Message {
  if (typeof value !== "object" || value === null) return false;
  const { id, text, first_name, at } = value as Partial<Record<keyof Message, unknown>>;
  return (
    typeof id === "number" &&
    typeof text === "string" &&
    typeof first_name === "string" &&
    typeof at === "string"
  );
}
