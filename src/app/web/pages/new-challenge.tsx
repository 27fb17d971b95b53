import { api } from "../api.js";
import { follow, navigate } from "../router.js";
import { roomPath } from "../routes.js";
import type { Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { PageHeading } from "../ui/page-heading.js";
import { ChallengeForm } from "./challenge-form.js";

export function NewChallengePage({ signed }: { readonly signed: Signed }) {
  return (
    <Frame signed={signed}>
      <section class="narrow">
        <PageHeading title="New challenge" />
        <p class="lead">Everyone who is signed in can join its room, until you restrict it there.</p>
        <ChallengeForm
          codeHint="May stay empty."
          submitLabel="Create and open"
          busyLabel="Creating…"
          cancel={
            <a class="button quiet" href="/" onClick={follow}>
              Cancel
            </a>
          }
          onSubmit={async ({ code, ...input }) => {
            const challenge = await api.createChallenge({ ...input, response: code });
            navigate(roomPath(challenge.id), { replace: true });
          }}
        />
      </section>
    </Frame>
  );
}
