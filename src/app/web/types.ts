/** What the server sends, as the REST contract has it. Everything in it is text to show, never HTML. */

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

export interface Signed {
  readonly token: string;
  readonly user: User;
}
