/**
 * The steps of which a request to etcd consists, and what is said in them: ranges, puts, compares, and how answers are read.
 *
 * The step that decides a request may have taken effect whenever it was handed over and is not known to be refused
 * (outcomes.ts). A step before it changes nothing, so that its failure is a `fail` of the request; so is an error in answer to
 * a read. Values are read byte by byte (latin1), so that a damaged value is seen as it is and never repaired.
 */
import type { Reply } from "../contract.ts";
import { EtcdError, type Gateway, GatewayError, type Json } from "./gateway.ts";
import { outcomeOfErrorReply } from "./outcomes.ts";

/** A request that ends here, with this reply. Thrown by the steps, caught in `execute`. */
export class Ended {
  readonly reply: Reply;

  constructor(reply: Reply) {
    this.reply = reply;
  }
}

/** A key as etcd shows it. `modRevision` is "0" when it is absent: that is what a compare takes for "absent". */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly modRevision: string;
  /** How often it has been put since it was created. */
  readonly version: number;
}

/** The steps of one request on one connection, all within one deadline. */
export class Steps {
  readonly #gateway: Gateway;
  readonly #serializable: boolean;
  readonly #endsAt: number;

  constructor(gateway: Gateway, serializable: boolean, deadlineMs: number) {
    this.#gateway = gateway;
    this.#serializable = serializable;
    this.#endsAt = performance.now() + deadlineMs;
  }

  /** What is in each of these ranges at one moment: the whole request, which changes nothing. */
  async read(ranges: readonly Json[]): Promise<readonly (readonly Entry[])[]> {
    const mode = this.#serializable ? { serializable: true } : {};
    try {
      if (ranges.length === 1) return [entriesOf(await this.#post("range", { ...ranges[0], ...mode }))];
      const success = ranges.map((range) => ({ requestRange: { ...range, ...mode } }));
      const found = responsesOf(await this.#post("txn", { success }));
      if (found.length !== ranges.length) throw unexpected("all ranges that were asked for");
      return found.map(entriesOf);
    } catch (error) {
      if (error instanceof EtcdError) throw new Ended({ type: "fail", error: error.message });
      throw error;
    }
  }

  /** The key as the cluster agrees on it, for a write that depends on it. Its failure is a `fail` of the request. */
  async prepare(key: string): Promise<Entry | undefined> {
    try {
      return entriesOf(await this.#post("range", { key: encode(key) }))[0];
    } catch (error) {
      throw new Ended({ type: "fail", error: `before anything was changed: ${(error as Error).message}` });
    }
  }

  /** The decisive step, a write. */
  async decide(action: "put" | "deleterange" | "txn", body: Json): Promise<Json> {
    try {
      const answer = await this.#post(action, body);
      if (answer.header === undefined) throw unexpected("a header");
      return answer;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      throw new Ended({ type: outcomeOfErrorReply(error.message), error: error.message });
    }
  }

  /** The decisive write, if the key still has the revision that it was prepared with. */
  async decideIfUnchanged(key: string, modRevision: string, puts: readonly Json[]): Promise<Reply> {
    const unchanged = { target: "MOD", result: "EQUAL", key: encode(key), modRevision };
    const success = puts.map((requestPut) => ({ requestPut }));
    const answer = await this.decide("txn", { compare: [unchanged], success });
    if (answer.succeeded === true) return { type: "ok" };
    return { type: "fail", error: "conflict: the key was changed meanwhile" };
  }

  #post(action: string, body: Json): Promise<Json> {
    return this.#gateway.post(`/v3/kv/${action}`, body, Math.max(1, this.#endsAt - performance.now()));
  }
}

export const encode = (text: string) => Buffer.from(text).toString("base64");
export const put = (key: string, value: string): Json => ({ key: encode(key), value: encode(value) });

export const isAbsent = (key: string): Json => ({
  target: "CREATE",
  result: "EQUAL",
  key: encode(key),
  createRevision: "0",
});

/** What begins with `prefix`, which ends with a slash: up to the same with the byte after it. */
export function below(prefix: string): Json {
  return { key: encode(prefix), rangeEnd: encode(`${prefix.slice(0, -1)}0`) };
}

/** An answer that lacks what it must have: nobody knows what happened. */
export function unexpected(what: string): GatewayError {
  return new GatewayError("malformed", `etcd answered without ${what}`);
}

/** Members of an answer are named in one of two ways, by the version of the gateway; empty ones are left out. */
export function member(of: Json, snake: string, camel: string): unknown {
  return of[snake] ?? of[camel];
}

export function entriesOf(answer: Json): Entry[] {
  if (answer.header === undefined) throw unexpected("a header");
  return ((answer.kvs ?? []) as readonly Json[]).map((kv) => ({
    key: decode(kv.key),
    value: decode(kv.value),
    modRevision: String(member(kv, "mod_revision", "modRevision") ?? "0"),
    version: Number(kv.version ?? 1),
  }));
}

export function responsesOf(answer: Json): Json[] {
  return ((answer.responses ?? []) as readonly Json[]).map((response) => {
    const range = member(response, "response_range", "responseRange");
    if (range === undefined) throw unexpected("the range that was asked for");
    return range as Json;
  });
}

function decode(base64: unknown): string {
  return Buffer.from(typeof base64 === "string" ? base64 : "", "base64").toString("latin1");
}
