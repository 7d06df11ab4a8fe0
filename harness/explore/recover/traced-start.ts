/**
 * One start of a store as a process with every disk call traced: what power loss during it may leave, and what is pending
 * when it has served. The files are those of a traced run (`base/`, `base.json`, `trace.bin`), so that a finding keeps
 * them, and its state is made again from them with no store and no chance.
 *
 * The model of the disk goes on from where it was: after a power loss from the crash state as the store's own launch
 * prepared it (a lock removed, an owner given), all of it durable; after a process crash from what the page cache showed,
 * with everything still pending that was.
 *
 * Not covered: after a process crash, a launch that changes files itself. It is told, and such a start is not followed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Trace } from "../../../faults/contract.ts";
import { createDiskControl, createTrace, readTrace } from "../../../faults/index.ts";
import type { Launch, Store } from "../../../stores/contract.ts";
import type { FrontEnd } from "../../front-end.ts";
import { runDirectoryAt, writeJson } from "../../run-directory.ts";
import { type DiskImage, DiskModel } from "../disk/disk-model.ts";
import { rootDirectory } from "../disk/disk-names.ts";
import { liveImage, writeImage } from "../states/crash-state.ts";
import { type BaseEntry, copyBase, imageOfBase, readBase } from "../traced/traced-run-files.ts";

/** Sparse: space is taken as it is used. */
const traceBytesMax = 64 * 2 ** 20;

/** Puts the front end around one launch. Nothing may be running in the data directory, which is copied to `path`. */
export function traceStart(path: string, dataDir: string, store: Store, launch: Launch, frontEnd: FrontEnd) {
  const directory = runDirectoryAt(path);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  copyBase(dataDir, directory);
  const trace = createTrace({ path: directory.traceFile, capacityBytes: traceBytesMax });
  const disk = createDiskControl({ dataDir, logGlob: store.logFiles ?? "**", directory: path });
  return {
    launch: frontEnd.launch(launch),
    environment: { ...frontEnd.environment(disk), ...trace.environment() },
    /** When nothing of the store is alive. */
    close(): void {
      trace.close();
      disk.remove();
    },
  };
}

/** A traced start in memory. */
export class TracedStart {
  /** The data directory as the store found it. */
  readonly image: DiskImage;
  readonly #entries: readonly BaseEntry[];
  readonly #trace: Trace;
  readonly #traceBytes: Uint8Array;

  /** @throws ScenarioError when the files are not there or not whole. */
  static read(path: string): TracedStart {
    return new TracedStart(path);
  }

  private constructor(path: string) {
    const directory = runDirectoryAt(path);
    this.#entries = readBase(directory);
    this.image = imageOfBase(this.#entries, directory.baseDir);
    this.#traceBytes = readFileSync(directory.traceFile);
    this.#trace = readTrace(directory.traceFile);
  }

  /** Keeps the files in a new directory below `folder`; returns its name. */
  keep(folder: string): string {
    mkdirSync(folder, { recursive: true });
    let number = readdirSync(folder).length;
    while (existsSync(join(folder, String(number)))) number++;
    const directory = runDirectoryAt(join(folder, String(number)));
    mkdirSync(directory.baseDir, { recursive: true });
    writeImage(this.image, directory.baseDir);
    writeJson(directory.baseFile, this.#entries);
    writeFileSync(directory.traceFile, this.#traceBytes);
    return String(number);
  }

  /**
   * Feeds the start's disk calls to the model of its disk, and returns that.
   *
   * @param live what a process crash left, which the start went on from; absent after a power loss.
   * @param crashPoint called whenever the disk may hold something else than before.
   */
  follow(live: DiskModel | undefined, crashPoint: (model: DiskModel) => void = () => {}): DiskModel {
    const model = live ?? new DiskModel(this.image);
    for (const fault of this.#trace.faults) model.fault(`the trace of a restart is not whole: ${fault}`);
    if (live) {
      const changed = this.#firstChange(live);
      if (changed !== undefined) model.fault(`the store's launch changed ${changed} before a restart`);
      live.moved(new Map(this.#entries.map(({ path, inode }) => [path, inode])));
    }
    const offset = model.event + 1;
    let { revision } = model;
    for (const event of this.#trace.events) {
      model.feed({ ...event, index: event.index + offset, call: event.call + offset });
      if (model.revision === revision) continue;
      revision = model.revision;
      crashPoint(model);
    }
    return model;
  }

  /** A file that is not as the page cache showed it. */
  #firstChange(live: DiskModel): string | undefined {
    const were = contentsOf(liveImage(live));
    const are = contentsOf(this.image);
    return [...new Set([...were.keys(), ...are.keys()])].find((path) => {
      const [was, is] = [were.get(path), are.get(path)];
      return was === undefined || is === undefined || Buffer.compare(was, is) !== 0;
    });
  }
}

/** By path; a directory is empty. */
function contentsOf({ files, directories }: DiskImage): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  const visit = (directory: number, prefix: string) => {
    for (const [name, id] of directories.get(directory) ?? []) {
      const file = files.get(id)!;
      const path = prefix + name;
      contents.set(path, file.directory ? new Uint8Array() : file.content.whole());
      if (file.directory) visit(id, `${path}/`);
    }
  };
  visit(rootDirectory, "");
  return contents;
}
