import { useRef, useState } from "preact/hooks";
import { ApiError, api } from "../api.js";
import { follow, navigate } from "../router.js";
import { roomPath } from "../routes.js";
import type { Signed } from "../types.js";
import { Field, focusFirstError, TextField } from "../ui/field.js";
import { Frame } from "../ui/frame.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";

type Errors = Partial<Record<"title" | "prompt" | "form", string>>;

export function NewChallengePage({ signed }: { readonly signed: Signed }) {
  const form = useRef<HTMLFormElement>(null);
  const [errors, setErrors] = useState<Errors>({});
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
      response: value("response"),
    };
    const found: Errors = {};
    if (input.title === "") found.title = "Give the challenge a title.";
    if (input.prompt === "") found.prompt = "Say what is to be solved.";
    setErrors(found);
    if (Object.keys(found).length > 0) {
      requestAnimationFrame(() => form.current && focusFirstError(form.current, found));
      return;
    }

    setBusy(true);
    try {
      const challenge = await api.createChallenge(input);
      navigate(roomPath(challenge.id), { replace: true });
    } catch (error) {
      setBusy(false);
      setErrors({ form: error instanceof ApiError ? error.message : "Something went wrong. Try again." });
    }
  };

  return (
    <Frame signed={signed}>
      <section class="narrow">
        <PageHeading title="New challenge" />
        {errors.form && <Notice tone="error">{errors.form}</Notice>}
        <form ref={form} class="card" onSubmit={submit} noValidate>
          <Field name="title" label="Title" maxLength={120} required error={errors.title} />
          <TextField
            name="prompt"
            label="Prompt"
            rows={6}
            hint="What is to be solved, with an example or two. Plain text; line breaks are kept."
            required
            error={errors.prompt}
          />
          <div class="field">
            <label for="language">Language</label>
            <select id="language" name="language">
              <option value="javascript">JavaScript</option>
              <option value="python">Python</option>
            </select>
          </div>
          <TextField
            name="response"
            label="Code to start from"
            rows={6}
            hint="May stay empty."
            class="code"
            spellcheck={false}
            autocapitalize="none"
          />
          <div class="actions">
            <a class="button quiet" href="/" onClick={follow}>
              Cancel
            </a>
            <button type="submit" class="button primary" aria-disabled={busy}>
              {busy ? "Creating…" : "Create and open"}
            </button>
          </div>
        </form>
      </section>
    </Frame>
  );
}
