/**
 * Scenarios as data, for two interpreters: ours and Elixir's (see CONTRIBUTING.md). A director
 * carries out the steps one after another and writes down what each gave; the two traces must be
 * equal.
 *
 * In terms, a text stands for an atom and a list for a tuple. Processes appear under their names,
 * references as "REF", stack traces as "STACK", child records as "CHILD".
 */
export type Term = string | number | boolean | null | readonly Term[];

/** What a server's callback does when it is asked. */
export type Act =
  | readonly ["reply", Term]
  | readonly ["noreply"]
  | readonly ["stop", Term]
  | readonly ["stop_reply", Term, Term]
  | readonly ["bad", Term]
  | readonly ["raise", string]
  | readonly ["exit", Term]
  | readonly ["timeout", number]
  | readonly ["continue", Act];

/** What an `init`, a child's start or a task does. */
export type Begin =
  | readonly ["ok"]
  | readonly ["ok_continue", Act]
  | readonly ["ok_timeout", number]
  | readonly ["ignore"]
  | readonly ["stop", Term]
  | readonly ["raise", string]
  | readonly ["exit", Term]
  | readonly ["bad", Term]
  /** The first `n` starts fail with the error, later ones are ok. */
  | readonly ["ok_after", n: number, Term]
  /** The first start is ok, the next `n` fail. */
  | readonly ["ok_then", n: number, Term];

export interface ServerOptions {
  readonly trap?: boolean;
  readonly name?: string;
  /** What `terminate` does after it was noted: nothing, raise, or exit. */
  readonly terminate?: readonly ["raise", string] | readonly ["exit", Term];
}

export interface Child extends ServerOptions {
  readonly id: string;
  readonly begin?: Begin;
  readonly restart?: string;
  readonly shutdown?: string | number;
  readonly significant?: boolean;
}

export interface Flags {
  readonly strategy?: string;
  readonly intensity?: number;
  readonly period?: number;
  readonly auto?: string;
}

/** What an actor, a plain process that does as it is told, can be told to do. */
export type Command =
  | readonly ["trap", boolean]
  | readonly ["spawn", name: string, how: "plain" | "link" | "monitor"]
  | readonly [
      "link" | "unlink" | "monitor" | "demonitor" | "demonitor_flush" | "demonitor_info",
      name: string,
    ]
  | readonly ["exit", name: string, Term]
  | readonly ["send", name: string, Term]
  | readonly ["register" | "unregister" | "whereis", name: string]
  | readonly ["send_name", name: string, Term]
  | readonly ["monitor_name", name: string]
  | readonly ["start_link", name: string, Begin, ServerOptions]
  | readonly ["call", server: string, Act, timeout: number]
  | readonly ["call_name", server: string, Act]
  | readonly ["stop", server: string, Term]
  | readonly ["put", Term, Term]
  | readonly ["get", Term]
  | readonly [
      "reg" | "unreg" | "reg_lookup" | "reg_keys" | "reg_dup" | "dup_lookup" | "dup_unreg",
      key: string,
      value?: Term,
    ]
  | readonly [
      "task_await" | "task_yield" | "task_shutdown",
      "value" | "exit" | "raise" | "never",
      Term,
      timeout: number,
    ]
  | readonly ["return" | "throw" | "raise" | "die", Term];

export type Step =
  | readonly ["actor", name: string]
  | readonly ["do", name: string, Command]
  /** Until the actor has been sent so many messages that are no commands; shows them. */
  | readonly ["seen", name: string, count: number]
  /** Everything that `from` has done to `to` has arrived there. */
  | readonly ["sync", from: string, to: string]
  | readonly ["down", name: string]
  | readonly ["alive", name: string]
  | readonly ["server", name: string, Begin, ServerOptions]
  | readonly ["cast" | "info", server: string, Act]
  /**
   * Until servers have told of so many terminations, continues, timeouts and other messages; shows
   * them.
   */
  | readonly ["events", count: number]
  | readonly ["sup", name: string, Flags, readonly Child[]]
  | readonly ["which" | "count", sup: string]
  | readonly ["start_child", sup: string, Child]
  | readonly ["terminate_child" | "restart_child" | "delete_child", sup: string, id: string]
  /**
   * Ends a child from outside, or makes it end itself, and waits until its supervisor has dealt
   * with it.
   */
  | readonly ["crash" | "finish", sup: string, id: string, Term]
  | readonly ["stop_sup", sup: string, Term]
  | readonly ["dyn", name: string, { readonly max?: number; readonly intensity?: number }]
  | readonly ["dyn_start", dyn: string, Child]
  | readonly ["dyn_terminate", dyn: string, name: string];

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
}
