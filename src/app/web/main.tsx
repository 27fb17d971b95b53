/**
 * The shell: which page is shown, for whom, and the frame around it. The room is loaded when it is
 * needed.
 */
import { type ComponentType, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { AccountPage } from "./pages/account.js";
import { ChallengesPage } from "./pages/challenges.js";
import { EditChallengePage } from "./pages/edit-challenge.js";
import { JoinPage } from "./pages/join.js";
import { NewChallengePage } from "./pages/new-challenge.js";
import { NotFoundPage } from "./pages/not-found.js";
import { SignPage } from "./pages/sign-in.js";
import { navigate, useRoute } from "./router.js";
import { type Route, signInPath } from "./routes.js";
import { session, useSession } from "./session.js";
import { Frame } from "./ui/frame.js";
import { Notice } from "./ui/notice.js";
import { PageHeading } from "./ui/page-heading.js";
import { Toasts } from "./ui/toasts.js";
import "./styles/base.css";
import "./styles/pages.css";

function App() {
  const route = useRoute();
  const signed = useSession();

  // A reload for a newer build: the hashed chunk that this page knows of may be gone.
  if (route.page === "not-found") return <NotFoundPage />;
  if (signed === undefined) return <Resuming />;
  if (route.page === "sign-in" || route.page === "sign-up") {
    if (signed) return <Redirect to={route.next} />;
    return <SignPage key={route.page} mode={route.page} next={route.next} />;
  }
  if (!signed) return <Redirect to={signInPath(location.pathname + location.search + location.hash)} />;
  switch (route.page) {
    case "challenges":
      return <ChallengesPage signed={signed} />;
    case "account":
      return <AccountPage signed={signed} />;
    case "new":
      return <NewChallengePage signed={signed} />;
    case "edit":
      return <EditChallengePage key={route.id} signed={signed} id={route.id} />;
    case "join":
      return <JoinPage signed={signed} token={route.token} />;
    case "room":
      return <LazyRoom key={route.id} route={route} />;
  }
}

function Redirect({ to }: { readonly to: string }) {
  useEffect(() => navigate(to, { replace: true }), [to]);
  return null;
}

/**
 * The page was loaded by a signed-in user: a moment later it is known whether they still
 * are.
 */
function Resuming() {
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    void session.renew().then((renewed) => setFailed(renewed === "unreachable"));
  }, []);
  return (
    <Frame>
      {failed ? (
        <Notice tone="error" action={{ label: "Try again", run: () => location.reload() }}>
          The server cannot be reached. This page continues by itself as soon as it can.
        </Notice>
      ) : (
        <p class="visually-hidden" role="status">
          Loading…
        </p>
      )}
    </Frame>
  );
}

type RoomPage = ComponentType<{ readonly id: string }>;
let loaded: RoomPage | undefined;

function LazyRoom({ route }: { readonly route: Route & { page: "room" } }) {
  const [Page, setPage] = useState<RoomPage | undefined>(() => loaded);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (Page) return;
    import("./room/room-page.js").then(
      (module) => {
        loaded = module.RoomPage;
        setPage(() => module.RoomPage);
      },
      () => setFailed(true),
    );
  }, [Page]);

  if (Page) return <Page id={route.id} />;
  return (
    <Frame>
      <PageHeading title={failed ? "The room could not be loaded" : "Opening the room…"} />
      {failed && (
        <Notice tone="error" action={{ label: "Load the page again", run: () => location.reload() }}>
          The editor did not arrive. Check your connection.
        </Notice>
      )}
    </Frame>
  );
}

const root = document.getElementById("app");
if (root) {
  render(
    <>
      <App />
      <Toasts />
    </>,
    root,
  );
}
