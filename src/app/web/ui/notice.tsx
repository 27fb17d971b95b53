import type { ComponentChildren } from "preact";

interface NoticeProps {
  readonly tone: "error" | "info";
  readonly id?: string;
  readonly action?: { readonly label: string; readonly run: () => void };
  readonly children: ComponentChildren;
}

/**
 * What went wrong and what to do about it. Errors interrupt a screen reader, information does not.
 */
export function Notice({ tone, id, action, children }: NoticeProps) {
  return (
    <div class={`notice ${tone}`} role={tone === "error" ? "alert" : "status"} id={id}>
      <div>{children}</div>
      {action && (
        <button type="button" class="button" onClick={action.run}>
          {action.label}
        </button>
      )}
    </div>
  );
}
