import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Notice } from "../ui/notice.js";
import type { Panel, PanelProps } from "./panels.js";

/** A panel in a chunk of its own, fetched once the room is there: the text comes first. */
export function LazyPanel({ load, ...props }: PanelProps & Pick<Panel, "load">) {
  const [Content, setContent] = useState<ComponentType<PanelProps>>();
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
