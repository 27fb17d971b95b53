/**
 * Hidden state is data of an instance that is not in its properties: private fields, or what a
 * built-in class keeps inside. A copy of its properties would be something else, often `{}`.
 */
const STRINGS_AND_COMMENTS = /(["'`])(?:\\.|(?!\1)[^\\])*\1|\/\*[\s\S]*?\*\/|\/\/.*/g;
const PRIVATE_NAME = /#[\p{ID_Start}$_]/u;
const hiding = new WeakMap<object, boolean>();

/** Whether instances with this prototype have data that no copy of their properties would have. */
function hides(prototype: object): boolean {
  let known = hiding.get(prototype);
  if (known === undefined) {
    const made: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
    const isClass = typeof made === "function";
    const source = isClass ? Function.prototype.toString.call(made) : "";
    const above = Object.getPrototypeOf(prototype) as object | null;
    known =
      // Iterators and generators, which have no class.
      (!isClass && Object.hasOwn(prototype, Symbol.toStringTag)) ||
      /\{\s*\[native code\]\s*\}$/.test(source) ||
      PRIVATE_NAME.test(source.replace(STRINGS_AND_COMMENTS, "")) ||
      (above !== null && above !== Object.prototype && hides(above));
    hiding.set(prototype, known);
  }
  return known;
}

/** Whether a copy of the properties of this instance of a class would lack some of its data. */
export const hidesState = (value: object): boolean =>
  hides(Object.getPrototypeOf(value) as object) || Object.getOwnPropertySymbols(value).length > 0;

/** What an instance is called, for an error's text. */
export function className(value: object): string {
  const { constructor: made, [Symbol.toStringTag]: tag } = value as {
    constructor?: { name?: unknown };
    [Symbol.toStringTag]?: unknown;
  };
  for (const name of [made === Object ? "" : made?.name, tag])
    if (typeof name === "string" && name !== "") return name;
  return "value of a built-in class";
}
