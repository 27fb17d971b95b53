/** The suites run the built server: what they test is what a user starts. */
import { build } from "../../scripts/build.mjs";

export default function setup(): void {
  build();
}
