/** The grammars alone: what the packages bring for completion weighs more than they do. */
export {
  javascriptLanguage as javascript,
  typescriptLanguage as typescript,
} from "@codemirror/lang-javascript";
