import { follow } from "../router.js";
import { useSession } from "../session.js";
import { Frame } from "../ui/frame.js";
import { PageHeading } from "../ui/page-heading.js";

export function NotFoundPage() {
  const signed = useSession();
  return (
    <Frame {...(signed && { signed })}>
      <section class="empty">
        <PageHeading title="There is no such page" />
        <p>The address may be mistyped, or what was here is gone.</p>
        <a class="button" href="/" onClick={follow}>
          To the challenges
        </a>
      </section>
    </Frame>
  );
}
