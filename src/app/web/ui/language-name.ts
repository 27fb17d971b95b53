/** The languages a challenge may be in. */
export const LANGUAGES = ["javascript", "python"] as const;

const NAMES: Readonly<Record<string, string>> = {
  javascript: "JavaScript",
  typescript: "TypeScript",
  python: "Python",
};

/** A language as people write it; an unknown one as the server sent it. */
export const languageName = (language: string): string =>
  Object.hasOwn(NAMES, language) ? NAMES[language]! : language;

/** Only known words become part of a class name. */
export const languageClass = (language: string): string => (Object.hasOwn(NAMES, language) ? language : "");
