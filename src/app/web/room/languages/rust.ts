export { rustLanguage as rust } from "@codemirror/lang-rust";
