/**
 * Validates payloads against a Standard Schema (zod, valibot, arktype and others), without
 * depending on any of these libraries.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";

export type Checked =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly issues: readonly { readonly message: string; readonly path: readonly (string | number)[] }[];
    };

/**
 * Validates a value; without a schema, all pass. Returns a promise only for an asynchronous schema.
 */
export function validate(schema: StandardSchemaV1 | undefined, value: unknown): Checked | Promise<Checked> {
  if (schema === undefined) return { ok: true, value };
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(outcome) : outcome(result);
}

function outcome(result: StandardSchemaV1.Result<unknown>): Checked {
  if (result.issues === undefined) return { ok: true, value: result.value };
  return {
    ok: false,
    issues: result.issues.map(({ message, path }) => ({
      message,
      path: (path ?? []).map((part) => {
        const key = typeof part === "object" ? part.key : part;
        return typeof key === "number" ? key : String(key);
      }),
    })),
  };
}
