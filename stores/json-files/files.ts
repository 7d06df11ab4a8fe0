/**
 * The format of the store json-files: one file for each key, named by the key (percent-encoded) and `.json`, that holds
 * `{"value": "…"}` or `{"list": ["…", …]}`. Nothing else is on the disk: no checksum, no length, no log.
 */

/** What one key holds. */
export type Entry = string | readonly string[];

const suffix = ".json";

export function fileNameOf(key: string): string {
  return `${encodeURIComponent(key)}${suffix}`;
}

export function encodeEntry(entry: Entry): string {
  return JSON.stringify(typeof entry === "string" ? { value: entry } : { list: entry });
}

/**
 * Loads a whole directory, as an application does when it starts.
 *
 * @throws Error with one sentence that names the file, when one is not what `encodeEntry` writes.
 */
export function loadDirectory(
  names: readonly string[],
  readFile: (name: string) => Uint8Array,
): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const name of names) {
    if (!name.endsWith(suffix)) continue;
    const bytes = readFile(name);
    try {
      entries.set(decodeURIComponent(name.slice(0, -suffix.length)), decodeEntry(bytes));
    } catch (error) {
      throw new Error(`${name} (${bytes.length} bytes) cannot be read: ${(error as Error).message}`);
    }
  }
  return entries;
}

function decodeEntry(bytes: Uint8Array): Entry {
  const { value, list } = JSON.parse(Buffer.from(bytes).toString("utf8")) as Record<string, unknown>;
  if (typeof value === "string") return value;
  if (Array.isArray(list) && list.every((one) => typeof one === "string")) return list;
  throw new Error("it holds neither a value nor a list");
}
