/**
 * Where an invitation leads: it is accepted, and the room opens. The token stands behind the `#`,
 * which browsers send to no server: so no log and no other site has it.
 */
import { useEffect, useState } from "preact/hooks";
import { ApiError, api, messageOf } from "../api.js";
import { follow, navigate } from "../router.js";
import { roomPath } from "../routes.js";
import type { Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";

export function JoinPage({ signed, token }: { readonly signed: Signed; readonly token: string }) {
  const [problem, setProblem] = useState<{ readonly text: string; readonly again: boolean }>();
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let left = false;
    setProblem(undefined);
    api.acceptInvitation(token).then(
      ({ challenge_id }) => !left && navigate(roomPath(challenge_id), { replace: true }),
      (error: unknown) => {
        const again = !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
        if (!left) setProblem({ text: messageOf(error), again });
      },
    );
    return () => {
      left = true;
    };
  }, [token, attempt]);
  return (
    <Frame signed={signed}>
      <section class="empty">
        <PageHeading title={problem ? "This invitation does not open" : "Opening the room…"} />
        {problem?.again && (
          <Notice tone="error" action={{ label: "Try again", run: () => setAttempt(attempt + 1) }}>
            {problem.text}
          </Notice>
        )}
        {problem && !problem.again && <p>{problem.text}</p>}
        {problem && (
          <a class="button" href="/" onClick={follow}>
            To the challenges
          </a>
        )}
      </section>
    </Frame>
  );
}
