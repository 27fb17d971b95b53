/**
 * A prompt as its author wrote it, only easier on the eye (prompt-blocks.ts says how). Everything
 * is a text node; there is no way from a prompt to HTML.
 */
import { Fragment } from "preact";
import { type Block, blocksOf, spansOf } from "./prompt-blocks.js";

export function PromptText({ text }: { readonly text: string }) {
  // A prompt is shown as a whole and its parts never move, so their places serve as keys.
  return (
    <div class="prompt-text" dir="auto">
      {blocksOf(text).map((block, i) => (
        <PromptBlock key={i} block={block} />
      ))}
    </div>
  );
}

function PromptBlock({ block }: { readonly block: Block }) {
  switch (block.kind) {
    case "code":
      return <pre>{block.text}</pre>;
    case "text":
      return (
        <p>
          <Spans text={block.text} />
        </p>
      );
    case "list":
      return (
        <ul>
          {block.items.map((item, i) => (
            <li key={i}>
              <Spans text={item} />
            </li>
          ))}
        </ul>
      );
  }
}

function Spans({ text }: { readonly text: string }) {
  return (
    <>
      {spansOf(text).map((span, i) =>
        span.code ? <code key={i}>{span.text}</code> : <Fragment key={i}>{span.text}</Fragment>,
      )}
    </>
  );
}
