/** The child program `dist/stores/ramlog/main.js`: ramlog's server. See program.ts for arguments and exit codes. */
import { runProgram } from "./program.ts";

await runProgram(process.argv.slice(2));
