/**
 * Which error of PostgreSQL means that a statement certainly did not happen (`fail`), and which leaves it unknown
 * (`info`). The one table of this protocol: whoever doubts an outcome looks here.
 *
 * An ERROR aborts the transaction before its commit record is written, so it is `fail` for the classes below. FATAL and
 * PANIC end the session, perhaps after the commit record; they, and whatever is not listed, are `info`: a wrong `info`
 * weakens a check, a wrong `fail` invents a violation.
 *
 * Codes: PostgreSQL manual, Appendix A, https://www.postgresql.org/docs/current/errcodes-appendix.html
 */

export interface RefusedClass {
  /** The first two characters of the SQLSTATE. */
  readonly sqlStateClass: string;
  /** Why it shows that the statement had no effect. */
  readonly why: string;
}

/** Classes of errors that mean `fail` when their severity is ERROR. */
export const refusedClasses: readonly RefusedClass[] = [
  { sqlStateClass: "0A", why: "feature not supported: refused before executing" },
  { sqlStateClass: "21", why: "cardinality violation: the statement was rolled back" },
  { sqlStateClass: "22", why: "data exception: the statement was rolled back" },
  { sqlStateClass: "23", why: "integrity constraint: the statement was rolled back" },
  { sqlStateClass: "25", why: "invalid transaction state, read-only transactions among them: refused" },
  { sqlStateClass: "28", why: "invalid authorization: never let in" },
  { sqlStateClass: "3D", why: "no such database: never let in" },
  { sqlStateClass: "40", why: "serialization failure or deadlock: the transaction was rolled back" },
  { sqlStateClass: "42", why: "syntax or access rule: refused before executing" },
  { sqlStateClass: "44", why: "check option: the statement was rolled back" },
  { sqlStateClass: "53", why: "out of disk, memory or connections: the statement was rolled back" },
  { sqlStateClass: "54", why: "program limit: the statement was rolled back" },
  { sqlStateClass: "55", why: "object not in the right state, a lock not available: refused" },
];

/** Single codes that differ from their class. */
export const exceptions: Readonly<Record<string, "fail" | "info">> = {
  /** statement_completion_unknown says so itself. */
  "40003": "info",
  /** cannot_connect_now: the server is starting or stopping, and lets nobody in. */
  "57P03": "fail",
  /** query_canceled: as every ERROR, before the commit record. */
  "57014": "fail",
};

/**
 * FATAL at the door: no session, and so no statement. A PANIC is another matter: a sync of the log that fails for a full disk
 * has class 53, and the commit record may be on the disk.
 */
function neverLetIn(sqlState: string): boolean {
  return sqlState === "53300" || ["28", "3D"].includes(sqlState.slice(0, 2));
}

/** What an error reply stands for; `severity` is the untranslated one. */
export function outcomeOfError(sqlState: string, severity: string): "fail" | "info" {
  const exception = exceptions[sqlState];
  if (exception) return exception;
  if (severity !== "ERROR" && !(severity === "FATAL" && neverLetIn(sqlState))) return "info";
  return refusedClasses.some((one) => sqlState.startsWith(one.sqlStateClass)) ? "fail" : "info";
}

/**
 * The one success that is none: a commit that waited for its standby, and was told to wait no longer, is reported as
 * committed, with a warning ("The transaction has already committed locally, but might not have been replicated to the
 * standby."). Nothing was acknowledged then.
 *
 * @returns the warning, when a notice is this one.
 */
export function doubtOfNotice(message: string, detail: string): string | undefined {
  return /already committed locally/.test(detail) ? `${message}: ${detail}` : undefined;
}
