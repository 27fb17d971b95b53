import { useState } from "preact/hooks";
import { ApiError, api } from "../api.js";
import { follow } from "../router.js";
import { session } from "../session.js";
import { Field, useFormErrors } from "../ui/field.js";
import { Frame } from "../ui/frame.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";
import { newPasswordError, PASSWORD_HINT } from "./password-rules.js";

interface SignProps {
  readonly mode: "sign-in" | "sign-up";
  readonly next: string;
}

type Errors = Partial<Record<"name" | "email" | "password" | "form", string>>;

/**
 * Signing in and signing up: the same form, one field more. Where one goes afterwards is App's
 * business.
 */
export function SignPage({ mode, next }: SignProps) {
  const joining = mode === "sign-up";
  const { form, errors, show, clear } = useFormErrors<Errors>();
  const [busy, setBusy] = useState(false);
  const suffix = next === "/" ? "" : `?next=${encodeURIComponent(next)}`;

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const value = (name: string): string => String(data.get(name) ?? "");
    const input = { email: value("email").trim(), password: value("password"), name: value("name").trim() };
    const found = check(input, joining);
    if (Object.keys(found).length > 0) return show(found);

    setBusy(true);
    clear();
    try {
      session.signIn(await (joining ? api.signUp(input) : api.logIn(input)));
    } catch (error) {
      setBusy(false);
      show(explain(error, joining));
    }
  };

  return (
    <Frame>
      <section class="card sign">
        <PageHeading title={joining ? "Create your account" : "Log in"} />
        <p class="lead">
          {joining
            ? "One account, and every challenge is a room you can share."
            : "Solve coding challenges together, in one editor."}
        </p>
        {next !== "/" && !errors.form && <p class="hint">Then the room that you opened will follow.</p>}
        {errors.form && <Notice tone="error">{errors.form}</Notice>}
        <form ref={form} onSubmit={submit} noValidate>
          {joining && (
            <Field
              name="name"
              label="First name"
              hint="Others in the room see this name."
              autocomplete="given-name"
              maxLength={40}
              required
              error={errors.name}
            />
          )}
          <Field
            name="email"
            label="E-mail"
            type="email"
            inputMode="email"
            autocomplete={joining ? "email" : "username"}
            autocapitalize="none"
            spellcheck={false}
            required
            error={errors.email}
          />
          <Field
            name="password"
            label="Password"
            type="password"
            autocomplete={joining ? "new-password" : "current-password"}
            hint={joining ? PASSWORD_HINT : undefined}
            required
            error={errors.password}
          />
          <button type="submit" class="button primary wide" aria-disabled={busy}>
            {busy ? "One moment…" : joining ? "Sign up" : "Log in"}
          </button>
        </form>
        <p class="switch">
          {joining ? "You have an account? " : "New here? "}
          <a href={(joining ? "/sign-in" : "/sign-up") + suffix} onClick={follow}>
            {joining ? "Log in" : "Sign up"}
          </a>
        </p>
      </section>
    </Frame>
  );
}

function check(input: { email: string; password: string; name: string }, joining: boolean): Errors {
  const errors: Errors = {};
  if (joining && input.name === "") errors.name = "Enter the name that others should see.";
  if (!/^\S+@\S+$/.test(input.email)) errors.email = "Enter an e-mail address, like name@example.org.";
  const wrong = joining ? newPasswordError(input.password) : input.password === "" && "Enter your password.";
  if (wrong) errors.password = wrong;
  return errors;
}

function explain(error: unknown, joining: boolean): Errors {
  if (!(error instanceof ApiError)) return { form: "Something went wrong. Try again." };
  if (error.status === 409 && joining) {
    return { email: "There is an account with this e-mail already. Log in instead, or use another address." };
  }
  if (error.status === 401 && !joining) return { form: "E-mail or password is not right. Try again." };
  if (error.code === "invalid" && error.message.startsWith("password ")) {
    return { password: `Your ${error.message}.` };
  }
  return { form: error.message };
}
