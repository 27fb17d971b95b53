import type { InputHTMLAttributes, TextareaHTMLAttributes } from "preact";
import { useRef, useState } from "preact/hooks";

interface Common {
  readonly name: string;
  readonly label: string;
  readonly hint?: string | undefined;
  readonly error?: string | undefined;
}

/**
 * A label, an input, and what to say about it; hint and error are tied to the input for screen
 * readers.
 */
export function Field({ name, label, hint, error, ...input }: Common & InputHTMLAttributes) {
  return (
    <Labelled name={name} label={label} hint={hint} error={error}>
      <input id={name} name={name} {...input} {...described(name, hint, error)} />
    </Labelled>
  );
}

export function TextField({ name, label, hint, error, ...input }: Common & TextareaHTMLAttributes) {
  return (
    <Labelled name={name} label={label} hint={hint} error={error}>
      <textarea id={name} name={name} {...input} {...described(name, hint, error)} />
    </Labelled>
  );
}

function Labelled({
  name,
  label,
  hint,
  error,
  children,
}: Common & { readonly children: preact.ComponentChildren }) {
  return (
    <div class={error ? "field wrong" : "field"}>
      <label for={name}>{label}</label>
      {children}
      {hint && (
        <p class="hint" id={`${name}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="error" id={`${name}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

function described(name: string, hint: string | undefined, error: string | undefined) {
  const ids = [error && `${name}-error`, hint && `${name}-hint`].filter(Boolean).join(" ");
  return { ...(ids && { "aria-describedby": ids }), ...(error && { "aria-invalid": true as const }) };
}

/**
 * What is wrong with the fields of a form, by name. Shown errors take the focus to the first of
 * them.
 */
export function useFormErrors<Errors extends Readonly<Record<string, string | undefined>>>() {
  const form = useRef<HTMLFormElement>(null);
  const [errors, setErrors] = useState<Partial<Errors>>({});
  return {
    form,
    errors,
    show(found: Partial<Errors>): void {
      setErrors(found);
      requestAnimationFrame(() => form.current && focusFirstError(form.current, found));
    },
    clear: (): void => setErrors({}),
  };
}

/** The first field with an error gets the focus: the user continues there. */
function focusFirstError(form: HTMLFormElement, errors: Readonly<Record<string, string | undefined>>): void {
  for (const element of form.elements) {
    if (element instanceof HTMLElement && errors[element.id] !== undefined) {
      element.focus();
      return;
    }
  }
}
