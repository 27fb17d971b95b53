/**
 * Tokens of invitation links: opaque; the database has their hashes. Too random to be guessed, so a
 * plain hash will do.
 */
import { createHash, randomBytes } from "node:crypto";

export const newInvitationToken = (): string => randomBytes(24).toString("base64url");

/** Whether a text can be a token at all. */
export const isInvitationToken = (text: string): boolean => /^[\w-]{32}$/.test(text);

export const invitationHash = (token: string): string =>
  createHash("sha256").update(`invitation ${token}`).digest("hex");
