import { useEffect, useRef } from "preact/hooks";

let first = true;

/**
 * The heading of a page. It names the tab, and takes the focus when the page was reached inside the
 * app: without a page load, a screen reader would not notice that anything changed.
 */
export function PageHeading({ title, focus = true }: { readonly title: string; readonly focus?: boolean }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "PhoenixPair" ? title : `${title} · PhoenixPair`;
  }, [title]);
  useEffect(() => {
    if (focus && !first) heading.current?.focus({ preventScroll: true });
    first = false;
  }, [focus]);
  return (
    <h1 tabIndex={-1} ref={heading}>
      {title}
    </h1>
  );
}
