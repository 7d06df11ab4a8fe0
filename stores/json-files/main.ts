/**
 * The child program `dist/stores/json-files/main.js PORT DIR`: the simplest "database" an application can have. All of
 * it is in RAM; every change rewrites its key's JSON file with Node's plain `writeFile` and is acknowledged when that
 * has resolved: written, not synced. Changes of one key are made one after the other.
 *
 * It speaks RESP2: PING GET SET (NX, XX, IFEQ value, GET) DEL RPUSH LRANGE key 0 -1. When a file cannot be read at the
 * start it says which and exits with 3, as an application whose `JSON.parse` throws. A change that fails is answered
 * with -IOERR, and the store goes on.
 */
import { readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { RespParser, type RespReply } from "../clients/resp.ts";
import { type Entry, encodeEntry, fileNameOf, loadDirectory } from "./files.ts";

const [port, dir] = process.argv.slice(2) as [string, string];
const entries = load();
/** The last change of each key, so that the next one waits for it. */
const changing = new Map<string, Promise<unknown>>();

function load(): Map<string, Entry> {
  try {
    return loadDirectory(readdirSync(dir).sort(), (name) => readFileSync(join(dir, name)));
  } catch (error) {
    process.stderr.write(`json-files: ${(error as Error).message}\n`);
    process.exit(3);
  }
}

const wrongType = "-WRONGTYPE the key holds another kind of value\r\n";
const nothing = "$-1\r\n";
const bulk = (text: string) => `$${Buffer.byteLength(text, "latin1")}\r\n${text}\r\n`;

async function write(key: string, entry: Entry): Promise<void> {
  await writeFile(join(dir, fileNameOf(key)), encodeEntry(entry));
  entries.set(key, entry);
}

async function set(key: string, value: string, options: readonly string[]): Promise<string> {
  const old = entries.get(key);
  const names = options.map((option) => option.toUpperCase());
  const ifEqual = names.indexOf("IFEQ");
  if (old !== undefined && typeof old !== "string") return wrongType;
  const matches =
    !(names.includes("NX") && old !== undefined) &&
    !(names.includes("XX") && old === undefined) &&
    !(ifEqual >= 0 && old !== options[ifEqual + 1]);
  if (matches) await write(key, value);
  if (names.includes("GET")) return old === undefined ? nothing : bulk(old);
  return matches ? "+OK\r\n" : nothing;
}

async function remove(key: string): Promise<string> {
  if (!entries.has(key)) return ":0\r\n";
  await rm(join(dir, fileNameOf(key)));
  entries.delete(key);
  return ":1\r\n";
}

async function append(key: string, value: string): Promise<string> {
  const old = entries.get(key) ?? [];
  if (typeof old === "string") return wrongType;
  await write(key, [...old, value]);
  return `:${old.length + 1}\r\n`;
}

function get(key: string): string {
  const entry = entries.get(key);
  if (entry === undefined) return nothing;
  return typeof entry === "string" ? bulk(entry) : wrongType;
}

function list(key: string): string {
  const entry = entries.get(key) ?? [];
  return typeof entry === "string" ? wrongType : `*${entry.length}\r\n${entry.map(bulk).join("")}`;
}

function perform(name: string, args: readonly string[]): string | Promise<string> {
  const [key, value] = args;
  if (name === "PING") return "+PONG\r\n";
  if (name === "GET" && key !== undefined) return get(key);
  if (name === "LRANGE" && key !== undefined) return list(key);
  if (name === "DEL" && key !== undefined) return inTurn(key, () => remove(key));
  if (name === "RPUSH" && key !== undefined && value !== undefined)
    return inTurn(key, () => append(key, value));
  if (name === "SET" && key !== undefined && value !== undefined)
    return inTurn(key, () => set(key, value, args.slice(2)));
  return "-ERR unknown command or wrong number of arguments\r\n";
}

/** Runs a change after the earlier ones of its key. */
function inTurn(key: string, change: () => Promise<string>): Promise<string> {
  const turn = (changing.get(key) ?? Promise.resolve()).then(change).catch((error: Error) => {
    process.stderr.write(`json-files: ${error.message}\n`);
    return `-IOERR ${error.message.replaceAll(/[\r\n]/g, " ")}\r\n`;
  });
  changing.set(key, turn);
  turn.then(() => {
    if (changing.get(key) === turn) changing.delete(key);
  });
  return turn;
}

/** One connection: its commands are answered one after the other. */
function serve(socket: Socket): void {
  const parser = new RespParser(); // a command is an array of bulk strings, as a reply may be
  let answered: Promise<void> = Promise.resolve();
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    let commands: RespReply[];
    try {
      commands = parser.push(chunk);
    } catch {
      socket.end("-ERR Protocol error\r\n");
      return;
    }
    for (const command of commands) answered = answered.then(() => answer(socket, command));
  });
}

async function answer(socket: Socket, command: RespReply): Promise<void> {
  const [name, ...args] = (Array.isArray(command) ? command : [command]).map((part) =>
    Buffer.isBuffer(part) ? part.toString("latin1") : String(part),
  );
  const reply = await perform((name ?? "").toUpperCase(), args);
  if (socket.writable) socket.write(reply, "latin1");
}

const server = createServer(serve);
server.listen(Number(port), "127.0.0.1", () => {
  const { port: chosen } = server.address() as { port: number };
  process.stdout.write(`${JSON.stringify({ ready: true, port: chosen })}\n`);
});
process.on("SIGTERM", () => {
  server.close();
  Promise.all(changing.values()).then(() => setImmediate(() => process.exit(0)));
});
