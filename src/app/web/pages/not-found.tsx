import { follow } from "../router.js";
import { useSession } from "../session.js";
import { Frame } from "../ui/frame.js";
import { PageHeading } from "../ui/page-heading.js";

export const NotFoundPage = () => (
  <Nowhere title="There is no such page" text="The address may be mistyped, or what was here is gone." />
);

export const ForbiddenPage = () => (
  <Nowhere
    title="This is not yours to open"
    text="Only its owner, or those they invited, may come here. Ask them for a link."
  />
);

function Nowhere({ title, text }: { readonly title: string; readonly text: string }) {
  const signed = useSession();
  return (
    <Frame {...(signed && { signed })}>
      <section class="empty">
        <PageHeading title={title} />
        <p>{text}</p>
        <a class="button" href="/" onClick={follow}>
          To the challenges
        </a>
      </section>
    </Frame>
  );
}
