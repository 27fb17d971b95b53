export { pythonLanguage as python } from "@codemirror/lang-python";
