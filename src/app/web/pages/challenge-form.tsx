/**
 * The form of a challenge, new or changed: what is checked here saves a way to the server, which
 * checks it all.
 */
import { useState } from "preact/hooks";
import { ApiError, messageOf } from "../api.js";
import { Field, TextField, useFormErrors } from "../ui/field.js";
import { LANGUAGES, languageName } from "../ui/language-name.js";
import { Notice } from "../ui/notice.js";

export interface ChallengeInput {
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly code: string;
}

type Errors = Partial<Record<"title" | "prompt" | "form", string>>;

interface ChallengeFormProps {
  readonly initial?: ChallengeInput;
  readonly codeHint: string;
  readonly submitLabel: string;
  readonly busyLabel: string;
  readonly cancel: preact.ComponentChildren;
  /** Rejects with what is then shown. */
  readonly onSubmit: (input: ChallengeInput) => Promise<void>;
}

export function ChallengeForm(props: ChallengeFormProps) {
  const { initial, codeHint, submitLabel, busyLabel, cancel, onSubmit } = props;
  const { form, errors, show, clear } = useFormErrors<Errors>();
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const value = (name: string): string => String(data.get(name) ?? "").replace(/\r\n?/g, "\n");
    const input = {
      title: value("title").trim(),
      prompt: value("prompt").trim(),
      language: value("language"),
      code: value("code"),
    };
    const found: Errors = {};
    if (input.title === "") found.title = "Give the challenge a title.";
    if (input.prompt === "") found.prompt = "Say what is to be solved.";
    if (Object.keys(found).length > 0) return show(found);
    clear();
    setBusy(true);
    try {
      await onSubmit(input);
    } catch (error) {
      setBusy(false);
      const message = messageOf(error);
      const field = /^(title|prompt)\b/.exec(message)?.[1] as "title" | "prompt" | undefined;
      show(error instanceof ApiError && field ? { [field]: `The ${message}.` } : { form: message });
    }
  };

  return (
    <form ref={form} class="card" onSubmit={submit} noValidate>
      {errors.form && <Notice tone="error">{errors.form}</Notice>}
      <Field
        name="title"
        label="Title"
        maxLength={120}
        required
        error={errors.title}
        defaultValue={initial?.title}
      />
      <TextField
        name="prompt"
        label="Prompt"
        rows={8}
        hint="What is to be solved, with an example or two. Plain text; line breaks are kept."
        required
        error={errors.prompt}
        defaultValue={initial?.prompt}
      />
      <div class="field">
        <label for="language">Language</label>
        <select id="language" name="language" defaultValue={initial?.language ?? LANGUAGES[0]}>
          {LANGUAGES.map((name) => (
            <option key={name} value={name} selected={name === initial?.language}>
              {languageName(name)}
            </option>
          ))}
        </select>
      </div>
      <TextField
        name="code"
        label="Code to start from"
        rows={8}
        hint={codeHint}
        class="code"
        spellcheck={false}
        autocapitalize="none"
        defaultValue={initial?.code}
      />
      <div class="actions">
        {cancel}
        <button type="submit" class="button primary" aria-disabled={busy}>
          {busy ? busyLabel : submitLabel}
        </button>
      </div>
    </form>
  );
}
