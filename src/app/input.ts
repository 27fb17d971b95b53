/** What the API accepts: schemas for request bodies. Checked once, at the edge. */
import { z } from "zod";
import { isCommonPassword } from "./auth/common-passwords.js";
import { readCount } from "./ids.js";

/** Control characters, and the marks that make text run the other way or hide. */
const INVISIBLE =
  /[\p{Cc}\p{Zl}\p{Zp}\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;
/** Joiners, which Persian names and some emoji need, where they join nothing. */
const STRAY_JOINER = /^[\u200c\u200d]|[\u200c\u200d](?=[\s\u200c\u200d]|$)|\s[\u200c\u200d]/u;
/**
 * A character that is seen. Fillers of Hangul and the empty Braille cell count as letters and
 * signs, and are not.
 */
const VISIBLE = /[^\s\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/u;
const CONTROL = /[^\P{Cc}\t\n\r]/u;

/** Composing joins a few characters to one; no text of so many can be short enough afterwards. */
const COMPOSED_FROM = 10;

const line = (what: string, most: number) =>
  z
    .string(`${what} must be text`)
    // Of many marks in a row, composing takes quadratic time.
    .max(COMPOSED_FROM * most, `${what} may have at most ${most} characters`)
    .transform((text) => text.normalize("NFC").trim())
    .pipe(
      z
        .string()
        .min(1, `${what} must not be empty`)
        // Nothing else is looked at then: it may be as long as a body.
        .max(most, { error: `${what} may have at most ${most} characters`, abort: true })
        .refine((text) => text.isWellFormed(), `${what} must be valid Unicode`)
        .refine(
          (text) => !INVISIBLE.test(text) && !STRAY_JOINER.test(text),
          `${what} must not contain control characters`,
        )
        .refine((text) => VISIBLE.test(text), `${what} must not be invisible`),
    );

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const MAX_NAME = 40;

function cut(name: string): string {
  let end = 0;
  let count = 0;
  for (const { segment } of graphemes.segment(name)) {
    if (count === MAX_NAME) break;
    count += 1;
    end += segment.length;
  }
  return name.slice(0, end);
}

/**
 * The first of a person's names that is seen, as the tutorial shows people: at most 40 characters
 * as people count them.
 */
export function firstName(name: string): string {
  const names = name.split(/\s+/u).map(cut);
  return names.find((one) => VISIBLE.test(one)) ?? (names[0] as string);
}

const text = (what: string, most: number) =>
  z
    .string(`${what} must be text`)
    .max(most, `${what} may have at most ${most} characters`)
    .refine((value) => value.isWellFormed(), `${what} must be valid Unicode`)
    .transform((value) => value.replace(/\r\n?/g, "\n"))
    .refine((value) => !CONTROL.test(value), `${what} must not contain control characters`);

const email = z
  .string("email must be text")
  .trim()
  .max(254, "email may have at most 254 characters")
  .pipe(z.email("email must be an e-mail address"));

export const PASSWORD_MIN = 8;
const PASSWORD_MAX = 128;

const password = z
  .string("password must be text")
  .min(PASSWORD_MIN, `password must have at least ${PASSWORD_MIN} characters`)
  .max(PASSWORD_MAX, `password may have at most ${PASSWORD_MAX} characters`)
  .refine((text) => !isCommonPassword(text), "password is one of those that are tried first; take another");

export const NewUserBody = z.object({
  email,
  password,
  name: line("name", 100).refine((name) => VISIBLE.test(firstName(name)), "name must not be invisible"),
});

export const SessionBody = z.object({
  email: z.string("email must be text").max(254, "email may have at most 254 characters"),
  password: z
    .string("password must be text")
    .max(PASSWORD_MAX, `password may have at most ${PASSWORD_MAX} characters`),
});

export const NewPasswordBody = z.object({
  current: z
    .string("current must be text")
    .max(PASSWORD_MAX, `current may have at most ${PASSWORD_MAX} characters`),
  password,
});

/** The longest text a room may hold, in characters. */
export const MAX_RESPONSE = 256 * 1024;

export const LANGUAGES = ["javascript", "typescript", "python", "java", "rust", "go"] as const;

const title = line("title", 200);
const prompt = text("prompt", 20_000).refine((value) => value.trim() !== "", "prompt must not be empty");
const language = z.enum(LANGUAGES, `language must be one of ${LANGUAGES.join(", ")}`);
const ACCESS = ["open", "restricted"] as const;

export const NewChallengeBody = z.object({
  title,
  prompt,
  language,
  response: text("response", MAX_RESPONSE).default(""),
});

/** Only what is named changes. */
export const ChallengeChangesBody = z
  .object({
    title: title.optional(),
    prompt: prompt.optional(),
    language: language.optional(),
    starter: text("starter", MAX_RESPONSE).optional(),
    access: z.enum(ACCESS, `access must be one of ${ACCESS.join(", ")}`).optional(),
  })
  .refine(
    (changes) => Object.values(changes).some((value) => value !== undefined),
    "name what is to change: title, prompt, language, starter or access",
  );

const ROLES = ["edit", "view"] as const;
const role = z.enum(ROLES, `role must be one of ${ROLES.join(", ")}`);
const MOST_HOURS = 24 * 90;

export const NewInvitationBody = z.object({
  role,
  /** How long the link is valid. */
  hours: z
    .int("hours must be a whole number")
    .min(1, "hours must be at least 1")
    .max(MOST_HOURS, `hours may be at most ${MOST_HOURS}`)
    .default(24 * 7),
});

export const MemberBody = z.object({
  role: z.enum([...ROLES, "removed"], "role must be one of edit, view, removed"),
});

export const AcceptBody = z.object({ token: z.string("token must be text").max(200, "token is too long") });

const CHAT_BYTES = 2048;
/** Marks that turn text round, also that of others. */
const BIDI = /[\u202a-\u202e\u2066-\u2069]/gu;

export const ChatBody = z.object({
  text: text("text", CHAT_BYTES)
    .transform((value) => value.replace(BIDI, "").trim())
    .refine((value) => value !== "", "text must not be empty")
    .refine((value) => Buffer.byteLength(value) <= CHAT_BYTES, `text may have at most ${CHAT_BYTES} bytes`),
  key: z.string("key must be text").regex(/^[\w.-]{1,40}$/, "key must be 1 to 40 letters, digits or dashes"),
});

export const ChatHistoryBody = z.object({ before: z.int("before must be a number").positive().optional() });

const LISTED = 100;

/** A whole number in a query, where it comes as text. */
const count = (what: string, least: number, most: number) =>
  z
    .string()
    .transform((text) => readCount(text) ?? Number.NaN)
    .pipe(z.int(`${what} must be a whole number`).min(least).max(most));

/** The query of the whole list: those after an id. */
export const ListQuery = z.object({ after: count("after", 0, 2_147_483_647).default(0) });

/** The query of a search; numbers come as text. */
export const SearchQuery = z.object({
  q: z
    .string()
    .max(100, "q may have at most 100 characters")
    .refine((value) => value.isWellFormed() && !CONTROL.test(value), "q must be text")
    .transform((value) => value.normalize("NFC").trim())
    .optional(),
  language: language.optional(),
  mine: z.enum(["1"], "mine must be 1").optional(),
  offset: count("offset", 0, 1_000_000).default(0),
  limit: count("limit", 1, LISTED).default(50),
});
