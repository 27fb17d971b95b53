/**
 * Taking a prompt apart, without losing a character of what it says. Pure; prompt-text.tsx shows
 * the parts.
 */

export type Block =
  | { readonly kind: "text" | "code"; readonly text: string }
  | { readonly kind: "list"; readonly items: readonly string[] };

export interface Span {
  readonly code: boolean;
  readonly text: string;
}

const ITEM = /^\s*[-*•] +/;

/**
 * Paragraphs; blocks of lines indented by two or more spaces or by a tab, which are code and are
 * shown without that indent; and lists, when such a block begins with a dash. A further line of an
 * item is indented deeper than its dash.
 */
export function blocksOf(prompt: string): readonly Block[] {
  const runs: { indented: boolean; lines: string[] }[] = [];
  for (const line of prompt.split(/\r\n?|\n/)) {
    const blank = line.trim() === "";
    const indented = /^( {2}|\t)/.test(line) && !blank;
    const last = runs.at(-1);
    if (last && (last.indented === indented || (blank && last.indented))) last.lines.push(line);
    else if (!blank || last) runs.push({ indented, lines: [line] });
  }
  return runs.flatMap(({ indented, lines }): readonly Block[] => {
    if (indented && ITEM.test(lines[0]!)) return [{ kind: "list", items: itemsOf(lines) }];
    if (indented) return [{ kind: "code", text: undent(lines).join("\n").trimEnd() }];
    return lines
      .join("\n")
      .split(/\n\s*\n/)
      .map((text) => text.replace(/^\n+|\s+$/g, ""))
      .filter((text) => text !== "")
      .map((text) => ({ kind: "text", text }));
  });
}

function itemsOf(lines: readonly string[]): readonly string[] {
  const items: string[] = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, "").trimEnd());
    else if (line.trim() !== "") items[items.length - 1] += ` ${line.trim()}`;
  }
  return items;
}

function undent(lines: readonly string[]): readonly string[] {
  const depths = lines.filter((line) => line.trim() !== "").map((line) => /^[ \t]*/.exec(line)![0].length);
  const depth = Math.min(...depths);
  return lines.map((line) => line.slice(depth));
}

/**
 * What stands between two backticks in one line is code; a backtick without a partner is itself.
 */
export function spansOf(text: string): readonly Span[] {
  return text
    .split(/(`[^`\n]+`)/)
    .filter((part) => part !== "")
    .map((part) => {
      const code = part.length > 2 && part.startsWith("`") && part.endsWith("`");
      return { code, text: code ? part.slice(1, -1) : part };
    });
}
