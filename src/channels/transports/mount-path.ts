/**
 * MountPath is the path of a transport: the mount's and the transport's own, either with `:name`
 * segments whose values become connect params. A name that starts with `_` matches without becoming
 * a param.
 */
export interface MountPath {
  /** The values of the named segments; undefined when the path does not match. */
  match(pathname: string): Readonly<Record<string, string>> | undefined;
  readonly pattern: string;
}

export function mountPath(...parts: string[]): MountPath {
  const segments = parts.join("/").split("/").filter(Boolean);
  return {
    pattern: `/${segments.join("/")}`,
    match(pathname) {
      const given = pathname.split("/").filter(Boolean);
      if (given.length !== segments.length) return undefined;
      const params: Record<string, string> = {};
      for (const [index, segment] of segments.entries()) {
        const value = given[index] as string;
        if (!segment.startsWith(":")) {
          if (segment !== value) return undefined;
          continue;
        }
        if (segment.startsWith(":_")) continue;
        try {
          params[segment.slice(1)] = decodeURIComponent(value);
        } catch {
          return undefined;
        }
      }
      return params;
    },
  };
}
