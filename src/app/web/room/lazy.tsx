import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Notice } from "../ui/notice.js";

/**
 * A component in a chunk of its own, fetched when it is first shown: the text of the room comes
 * first.
 */
export function Lazy<Props extends object>({
  load,
  props,
}: {
  readonly load: () => Promise<ComponentType<Props>>;
  readonly props: Props;
}) {
  const [Content, setContent] = useState<ComponentType<Props>>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = true;
    load().then(
      (loaded) => wanted && setContent(() => loaded),
      () => wanted && setFailed(true),
    );
    return () => {
      wanted = false;
    };
  }, [load]);

  if (Content) return <Content {...props} />;
  if (!failed) return null;
  return (
    <Notice tone="error" action={{ label: "Load the page again", run: () => location.reload() }}>
      This part of the page did not arrive. Check your connection.
    </Notice>
  );
}
