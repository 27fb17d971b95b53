/** What the API accepts: schemas for request bodies. Checked once, at the edge. */
import { z } from "zod";

/** Control characters, and the marks that make text run the other way or hide. */
const INVISIBLE = /[\p{Cc}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;
const CONTROL = /[^\P{Cc}\t\n\r]/u;

const line = (what: string, most: number) =>
  z
    .string(`${what} must be text`)
    .transform((text) => text.normalize("NFC").trim())
    .pipe(
      z
        .string()
        .min(1, `${what} must not be empty`)
        .max(most, `${what} may have at most ${most} characters`)
        .refine((text) => !INVISIBLE.test(text), `${what} must not contain control characters`),
    );

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

export const NewUserBody = z.object({
  email,
  password: z
    .string("password must be text")
    .min(PASSWORD_MIN, `password must have at least ${PASSWORD_MIN} characters`)
    .max(PASSWORD_MAX, `password may have at most ${PASSWORD_MAX} characters`),
  name: line("name", 80),
});

export const SessionBody = z.object({
  email: z.string("email must be text").max(254, "email may have at most 254 characters"),
  password: z
    .string("password must be text")
    .max(PASSWORD_MAX, `password may have at most ${PASSWORD_MAX} characters`),
});

/** The longest text a room may hold, in characters. */
export const MAX_RESPONSE = 256 * 1024;

export const LANGUAGES = ["javascript", "python"] as const;

export const NewChallengeBody = z.object({
  title: line("title", 200),
  prompt: text("prompt", 20_000).refine((value) => value.trim() !== "", "prompt must not be empty"),
  language: z.enum(LANGUAGES, `language must be one of ${LANGUAGES.join(", ")}`),
  response: text("response", MAX_RESPONSE).default(""),
});

/** The first of a person's names, as the tutorial shows people. */
export const firstName = (name: string): string => (name.split(/\s+/u)[0] as string).slice(0, 40);

/** A challenge's id as it stands in a path or topic; undefined when it is not one. */
export function challengeId(text: string): number | undefined {
  return /^[1-9]\d{0,9}$/.test(text) && Number(text) <= 2_147_483_647 ? Number(text) : undefined;
}
