import { useState } from "preact/hooks";
import { ApiError, api, messageOf } from "../api.js";
import { session } from "../session.js";
import type { Signed } from "../types.js";
import { Field, useFormErrors } from "../ui/field.js";
import { Frame } from "../ui/frame.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";
import { toast } from "../ui/toasts.js";
import { newPasswordError, PASSWORD_HINT } from "./password-rules.js";

type Errors = Partial<Record<"current" | "password" | "form", string>>;

/** One's own account: the password, and the devices where one is signed in. */
export function AccountPage({ signed }: { readonly signed: Signed }) {
  return (
    <Frame signed={signed}>
      <section class="narrow">
        <PageHeading title="Your account" />
        <p class="lead">
          <bdi>{signed.user.first_name}</bdi>, {signed.user.email}
        </p>
        <PasswordForm email={signed.user.email} />
        <section class="card" aria-labelledby="everywhere">
          <h2 id="everywhere">Signed in elsewhere?</h2>
          <p class="hint">Ends your sessions in all browsers, this one included. Open rooms close at once.</p>
          <div class="actions">
            <button type="button" class="button" onClick={logOutEverywhere}>
              Log out everywhere
            </button>
          </div>
        </section>
      </section>
    </Frame>
  );
}

async function logOutEverywhere(): Promise<void> {
  try {
    await api.logOutEverywhere();
    session.ended();
  } catch (error) {
    toast({ tone: "error", text: messageOf(error) });
  }
}

function PasswordForm({ email }: { readonly email: string }) {
  const { form, errors, show, clear } = useFormErrors<Errors>();
  const [busy, setBusy] = useState(false);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const input = {
      current: String(data.get("current") ?? ""),
      password: String(data.get("password") ?? ""),
    };
    const wrong = newPasswordError(input.password);
    if (input.current === "") return show({ current: "Enter the password you have now." });
    if (wrong) return show({ password: wrong });
    setBusy(true);
    clear();
    try {
      session.signIn(await api.changePassword(input));
      form.current?.reset();
      toast({ tone: "info", text: "Your password is changed. Other browsers were signed out." });
    } catch (error) {
      if (error instanceof ApiError && error.code === "invalid_credentials")
        show({ current: "That is not your password now. Try again." });
      else if (error instanceof ApiError && error.status === 422) show({ password: error.message });
      else show({ form: messageOf(error) });
    } finally {
      setBusy(false);
    }
  };

  return (
    <form ref={form} class="card" onSubmit={submit} noValidate aria-labelledby="change-password">
      <h2 id="change-password">Change your password</h2>
      {errors.form && <Notice tone="error">{errors.form}</Notice>}
      <input type="hidden" name="email" autocomplete="username" value={email} />
      <Field
        name="current"
        label="Password now"
        type="password"
        autocomplete="current-password"
        required
        error={errors.current}
      />
      <Field
        name="password"
        label="New password"
        type="password"
        autocomplete="new-password"
        hint={PASSWORD_HINT}
        required
        error={errors.password}
      />
      <div class="actions">
        <button type="submit" class="button primary" aria-disabled={busy}>
          {busy ? "One moment…" : "Change password"}
        </button>
      </div>
    </form>
  );
}
