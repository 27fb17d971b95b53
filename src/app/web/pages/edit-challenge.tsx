import { useRef } from "preact/hooks";
import { api, messageOf } from "../api.js";
import { follow, navigate } from "../router.js";
import { roomPath } from "../routes.js";
import type { Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";
import { toast } from "../ui/toasts.js";
import { useLoading } from "../ui/use-loading.js";
import { ChallengeForm } from "./challenge-form.js";
import { ForbiddenPage, NotFoundPage } from "./not-found.js";

/** What only its owner may do with a challenge: change it, and take it away. */
export function EditChallengePage({ signed, id }: { readonly signed: Signed; readonly id: string }) {
  const [loading, retry] = useLoading(id, (signal) => api.challengeDetails(id, signal));
  if (loading.state === "failed" && loading.status === 404) return <NotFoundPage />;
  if (loading.state === "failed" && loading.status === 403) return <ForbiddenPage />;
  if (loading.state === "ready" && loading.value.role !== "owner") return <ForbiddenPage />;
  const challenge = loading.state === "ready" ? loading.value : undefined;
  return (
    <Frame signed={signed}>
      <section class="narrow">
        <PageHeading title="Edit challenge" />
        {loading.state === "failed" && (
          <Notice tone="error" action={{ label: "Try again", run: retry }}>
            {loading.message}
          </Notice>
        )}
        {loading.state === "loading" && (
          <div class="card skeleton" role="status">
            <span class="visually-hidden">Loading the challenge…</span>
            <i />
            <i />
            <i />
          </div>
        )}
        {challenge && (
          <>
            <ChallengeForm
              initial={{ ...challenge, code: challenge.starter ?? "" }}
              codeHint="What the room goes back to when someone resets its code. What is written there now stays."
              submitLabel="Save"
              busyLabel="Saving…"
              cancel={
                <a class="button quiet" href={roomPath(id)} onClick={follow}>
                  Cancel
                </a>
              }
              onSubmit={async ({ code, ...input }) => {
                await api.changeChallenge(id, { ...input, starter: code });
                toast({
                  tone: "info",
                  text: "The challenge is changed, also for those who are in its room.",
                });
                navigate(roomPath(id), { replace: true });
              }}
            />
            <DeleteSection id={id} title={challenge.title} />
          </>
        )}
      </section>
    </Frame>
  );
}

function DeleteSection({ id, title }: { readonly id: string; readonly title: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const remove = async (): Promise<void> => {
    dialog.current?.close();
    try {
      await api.deleteChallenge(id);
      toast({ tone: "info", text: `“${title}” is deleted.` });
      navigate("/", { replace: true });
    } catch (error) {
      toast({
        tone: "error",
        text: messageOf(error),
        action: { label: "Try again", run: () => void remove() },
      });
    }
  };
  return (
    <section class="card" aria-labelledby="delete-title">
      <h2 id="delete-title">Delete this challenge</h2>
      <p class="hint">Its room closes for everyone, and its code is gone. This cannot be undone.</p>
      <div class="actions">
        <button type="button" class="button danger" onClick={() => dialog.current?.showModal()}>
          Delete…
        </button>
      </div>
      <dialog ref={dialog} aria-labelledby="delete-sure">
        <h2 id="delete-sure">
          Delete “<bdi>{title}</bdi>”?
        </h2>
        <p>The code of its room goes with it.</p>
        <form method="dialog" class="actions">
          <button type="submit" class="button" autofocus>
            Keep it
          </button>
          <button type="button" class="button danger" onClick={() => void remove()}>
            Delete
          </button>
        </form>
      </dialog>
    </section>
  );
}
