import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeCommand, RespError, RespParser, type RespReply } from "./resp.ts";

const bulk = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const line = fc.string({ maxLength: 40 }).map((text) => text.replace(/[^ -~]/g, "?"));

const { reply } = fc.letrec<{ reply: RespReply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: "small", maxDepth: 4 },
    bulk,
    line,
    line.map((text) => new RespError(text)),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
    fc.constant(null),
    fc.array(tie("reply"), { maxLength: 6 }),
  ),
}));

function encodeReply(value: RespReply): Buffer {
  if (value === null) return Buffer.from("$-1\r\n");
  if (typeof value === "string") return Buffer.from(`+${value}\r\n`);
  if (typeof value === "number" || typeof value === "bigint") return Buffer.from(`:${value}\r\n`);
  if (value instanceof RespError) return Buffer.from(`-${value.message}\r\n`);
  if (Buffer.isBuffer(value)) {
    return Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from("\r\n")]);
  }
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(encodeReply)]);
}

/** Cuts bytes into pieces of the given lengths, over and over. */
function pieces(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const cut: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length]!;
    cut.push(bytes.subarray(at, at + length));
    at += length;
  }
  return cut;
}

test("replies are the same however the bytes that carry them are split", () => {
  const splits = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 8 }), splits, (replies, lengths) => {
      const parser = new RespParser();
      const bytes = Buffer.concat(replies.map(encodeReply));
      const parsed = pieces(bytes, lengths).flatMap((piece) => parser.push(piece));
      expect(parsed).toEqual(replies);
      expect(parser.unfinished).toBe(false);
    }),
    { seed: 20_261, numRuns: 300 },
  );
});

test("a command keeps every byte of its arguments", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(bulk, fc.string(), fc.integer()), { minLength: 1 }), (args) => {
      const [command] = new RespParser().push(encodeCommand(args));
      expect(command).toEqual(args.map((arg) => (Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg)))));
    }),
    { seed: 20_262, numRuns: 300 },
  );
});

test("no bytes at all make the parser hang or throw anything but a protocol error", () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: fc.constantFrom(..."+-:$*0123456789\r\n") }).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 6 }), (chunks) => {
      const parser = new RespParser();
      try {
        for (const chunk of chunks) parser.push(chunk);
      } catch (error) {
        expect((error as Error).name).toBe("RespProtocolError");
      }
    }),
    { seed: 20_263, numRuns: 2000 },
  );
});
