/** The languages a challenge may be in. */
export const LANGUAGES = ["javascript", "typescript", "python", "java", "rust", "go"] as const;

const NAMES: Readonly<Record<string, string>> = {
  javascript: "JavaScript",
  typescript: "TypeScript",
  python: "Python",
  java: "Java",
  rust: "Rust",
  go: "Go",
};

/** A language as people write it; an unknown one as the server sent it. */
export const languageName = (language: string): string =>
  Object.hasOwn(NAMES, language) ? NAMES[language]! : language;

/** Only known words become part of a class name. */
export const languageClass = (language: string): string => (Object.hasOwn(NAMES, language) ? language : "");
