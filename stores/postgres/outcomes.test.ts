import { expect, test } from "vitest";
import { doubtOfNotice, outcomeOfError, refusedClasses } from "./outcomes.ts";

test.each([
  ["23505", "ERROR", "a unique violation", "fail"],
  ["40001", "ERROR", "a serialization failure", "fail"],
  ["40P01", "ERROR", "a deadlock", "fail"],
  ["53100", "ERROR", "a full disk", "fail"],
  ["53300", "FATAL", "too many connections", "fail"],
  ["28P01", "FATAL", "a wrong password", "fail"],
  ["57P03", "FATAL", "a server that starts or stops", "fail"],
  ["57014", "ERROR", "a cancelled statement", "fail"],
  ["25006", "ERROR", "a write that a standby refuses", "fail"],
  ["40003", "ERROR", "a commit of which the server itself knows nothing", "info"],
  ["57P01", "FATAL", "a session ended by a shutdown", "info"],
  ["57P02", "FATAL", "a session ended by a crash", "info"],
  ["58030", "ERROR", "an I/O error", "info"],
  ["58030", "PANIC", "a failed sync of the log", "info"],
  ["53100", "PANIC", "a sync of the log that fails for a full disk", "info"],
  ["53100", "FATAL", "a full disk that ends the session", "info"],
  ["23505", "FATAL", "a known error that ended the session", "info"],
  ["XX001", "ERROR", "damaged data", "info"],
  ["", "", "an error without a code", "info"],
])("%s %s, %s, is %4$s", (code, severity, _what, outcome) => {
  expect(outcomeOfError(code, severity)).toBe(outcome);
});

test("every class of refusals is listed once, with its reason", () => {
  const classes = refusedClasses.map((one) => one.sqlStateClass);
  expect(new Set(classes).size).toBe(classes.length);
  for (const { sqlStateClass, why } of refusedClasses) {
    expect(sqlStateClass).toMatch(/^[0-9A-Z]{2}$/);
    expect(why).toMatch(/^.{10,}/);
  }
});

test("only the warning of a commit that waited no longer for its standby puts a success in doubt", () => {
  const waited = "canceling wait for synchronous replication due to user request";
  const detail =
    "The transaction has already committed locally, but might not have been replicated to the standby.";
  expect(doubtOfNotice(waited, detail)).toBe(`${waited}: ${detail}`);
  expect(doubtOfNotice("there is no transaction in progress", "")).toBeUndefined();
});
