/** The child program `dist/stores/broken/main.js --bug NAME …`: ramlog's server with that bug; the rest as in ramlog. */
import { runProgram } from "../ramlog/program.ts";
import { bugs } from "./bugs.ts";

const argv = process.argv.slice(2);
const at = argv.indexOf("--bug");
const name = at < 0 ? undefined : argv[at + 1];
const bug = bugs.find((one) => one.name === name);
if (bug) {
  await runProgram(argv.toSpliced(at, 2), bug.seams);
} else {
  process.stderr.write(
    `--bug ${name ?? "is missing"}: known are ${bugs.map((one) => one.name).join(", ")}\n`,
  );
  process.exit(3);
}
