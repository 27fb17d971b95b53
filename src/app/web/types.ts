/**
 * What the server sends, as the REST contract has it. Everything in it is text to show, never HTML.
 */

export interface User {
  readonly id: string | number;
  readonly first_name: string;
  readonly email: string;
}

export interface Challenge {
  readonly id: string | number;
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string | null;
  readonly updated_at: string;
}

/** A challenge in a list. */
export interface ChallengeCard {
  readonly id: number;
  readonly title: string;
  readonly excerpt: string;
  readonly language: string;
  readonly updated_at: string;
  readonly access: "open" | "restricted";
  readonly role: Role;
}

export type Role = "owner" | "edit" | "view";

export interface ChallengeDetails extends Challenge {
  readonly starter: string | null;
  readonly access: "open" | "restricted";
  readonly role: Role;
}

export interface Invitation {
  readonly id: number;
  readonly role: "edit" | "view";
  readonly expires_at: string;
  readonly uses: number;
}

export interface Member {
  readonly user_id: number;
  readonly first_name: string;
  readonly role: "edit" | "view" | "removed";
}

export interface Sharing {
  readonly access: "open" | "restricted";
  readonly members: readonly Member[];
  readonly invitations: readonly Invitation[];
}

/** A former state of a room's text. */
export interface Version {
  readonly seq: number;
  readonly at: string;
  /** Who has edited since the one before. */
  readonly authors: readonly string[];
}

export interface Signed {
  readonly token: string;
  readonly user: User;
}
