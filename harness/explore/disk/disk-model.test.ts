import { describe, expect, it } from "vitest";
import { EventList } from "../fixtures/event-list.ts";

describe("what a sync covers", () => {
  it("nothing written is certain before a sync, and everything that ended before one is", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10");
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
    expect(list.sync("log").states("posix-strict")).toEqual(["log=b*10"]);
  });

  it("a write that had not ended when the sync began stays possible", () => {
    const list = new EventList({ log: "a*10" });
    const write = list.beginWrite("log", 0, "b*10");
    const sync = list.beginSync("log");
    list.end(write).end(sync);
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
  });

  it("a write that ended is certain although another, begun before it, is in flight in the same page", () => {
    const list = new EventList({ log: "a*30" });
    list.beginWrite("log", 0, "x*10");
    list.write("log", 20, "b*10").sync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*20 b*10", "log=x*10 a*10 b*10"]);
  });

  it("fdatasync covers data and size", () => {
    const list = new EventList({ log: "a*10" }).write("log", 10, "b*10").datasync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*10 b*10"]);
  });

  it("msync covers the pages of its range, and no others of its file", () => {
    const written = () => new EventList({ log: "a*8192" }).write("log", 0, "b*10").write("log", 5000, "c*10");
    expect(written().msync("log", 4096, 100).states("posix-strict")).toEqual([
      "log=a*5000 c*10 a*3182",
      "log=b*10 a*4990 c*10 a*3182",
    ]);
    expect(written().msync("log", 0, 8192).states("posix-strict")).toEqual(["log=b*10 a*4990 c*10 a*3182"]);
  });

  it("an msync that fails for good loses the pages of its range, and no others", () => {
    const list = new EventList({ log: "a*8192" }).write("log", 0, "b*10").write("log", 5000, "c*10");
    list.msync("log", 4096, 4096, { result: -5, effect: "fsyncgate" }).sync("log");
    expect(list.states("posix-strict")).toEqual(["log=b*10 a*8182"]);
  });

  it("sync_file_range persists nothing", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10");
    list.end(list.begin("sync-range", { path: "log", inode: "1:100" }));
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
  });

  it("syncfs covers all files and all names", () => {
    const list = new EventList({ log: "a*10", tmp: "" }).write("log", 0, "b*10").rename("tmp", "new");
    list.end(list.begin("syncfs", { path: "." }));
    expect(list.states("posix-strict")).toEqual(["log=b*10 | new="]);
  });

  it("a synchronous write is durable when it ends, and takes its own page along, not the other pages", () => {
    const list = new EventList({ log: "a*8192" });
    list.write("log", 0, "b*10").write("log", 4096, "b*10").write("log", 4200, "c*10", { synchronous: true });
    expect(list.states("posix-strict")).toEqual([
      "log=a*4096 b*10 a*94 c*10 a*3982",
      "log=b*10 a*4086 b*10 a*94 c*10 a*3982",
    ]);
  });

  it("a sync of one file covers no other", () => {
    const list = new EventList({ log: "a*10", other: "a*10" }).write("log", 0, "b*10").sync("other");
    expect(list.states("posix-strict")).toHaveLength(2);
  });
});

describe("what fails", () => {
  it("a failed write changes what its end event says, and nothing else", () => {
    const none = new EventList({ log: "a*10" });
    none.end(none.beginWrite("log", 0, "b*10"), { size: 0, result: -5, effect: "error" });
    expect(none.states("posix-strict")).toEqual(["log=a*10"]);
    const short = new EventList({ log: "a*10" });
    short.end(short.beginWrite("log", 0, "b*10"), { size: 4, result: 4, effect: "short" }).sync("log");
    expect(short.states("posix-strict")).toEqual(["log=b*4 a*6"]);
    const elsewhere = new EventList({ log: "a*10" });
    elsewhere.end(elsewhere.beginWrite("log", 0, "b*4"), { offset: 6, result: 4, effect: "misdirected" });
    expect(elsewhere.sync("log").states("posix-strict")).toEqual(["log=a*6 b*4"]);
    const lost = new EventList({ log: "a*10" });
    lost.end(lost.beginWrite("log", 0, "b*10"), { size: 0, result: 10, effect: "lying" }).sync("log");
    expect(lost.states("posix-strict")).toEqual(["log=a*10"]);
  });

  it("a failed rename has not happened", () => {
    const list = new EventList({ log: "a*1" });
    list.end(list.beginRename("log", "new"), { result: -28 });
    expect(list.states("posix-strict")).toEqual(["log=a*1"]);
  });

  it("fail-keep: the data stays dirty, and the next sync covers it", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10").badSync("log", "error", -5);
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
    expect(list.sync("log").states("posix-strict")).toEqual(["log=b*10"]);
  });

  it("fsyncgate: the pages are clean and not on the disk, and no later sync brings them there", () => {
    const list = new EventList({ log: "a*8192" }).write("log", 0, "b*10").badSync("log", "fsyncgate", -5);
    expect(list.states("posix-strict")).toEqual(["log=a*8192"]);
    list.sync("log").write("log", 4096, "c*10").sync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*4096 c*10 a*4086"]);
  });

  it("fsyncgate: writing the same page again makes all of it dirty again", () => {
    const list = new EventList({ log: "a*8192" }).write("log", 0, "b*10").badSync("log", "fsyncgate", -5);
    list.write("log", 100, "c*10");
    expect(list.states("posix-strict")).toEqual(["log=a*8192", "log=b*10 a*90 c*10 a*8082"]);
    expect(list.sync("log").states("posix-strict")).toEqual(["log=b*10 a*90 c*10 a*8082"]);
  });

  it("fsyncgate of new data leaves zeros where there was none", () => {
    const list = new EventList({ log: "" }).write("log", 0, "b*10").badSync("log", "fsyncgate", -5);
    list.sync("log");
    expect(list.states("ext4-ordered")).toEqual(["log=0*10"]);
  });

  it("fsyncgate spares what was written after the sync began", () => {
    const list = new EventList({ log: "a*20" }).write("log", 0, "b*10");
    const sync = list.beginSync("log");
    list.write("log", 10, "c*10").end(sync, { effect: "fsyncgate", result: -5 });
    expect(list.states("posix-strict")).toEqual(["log=a*20", "log=b*10 c*10"]);
  });

  it("pages lost in background write-back are lost in the same way", () => {
    const list = new EventList({ log: "a*8192" }).write("log", 0, "b*10").write("log", 4096, "b*10");
    list.instant("pages-lost", { path: "log", inode: "1:100", offset: 0, size: 4096 }).sync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*4096 b*10 a*4086"]);
  });

  it("revert: the page cache shows the old content at once", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10").badSync("log", "revert", -5);
    const model = list.model();
    expect(model.names.find("log")?.file).toBeDefined();
    const live = model.file(model.names.find("log")!.file!).live.whole();
    expect(Buffer.from(live).toString()).toBe("a".repeat(10));
    expect(list.write("log", 5, "c*5").sync("log").states("posix-strict")).toEqual(["log=a*5 c*5"]);
  });

  it("late: the sync that succeeds has lost the pages, the one that fails loses no others", () => {
    const list = new EventList({ log: "a*8192" }).write("log", 0, "b*10").badSync("log", "late", 0);
    list.write("log", 4096, "c*10").badSync("log", "late", -5).sync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*4096 c*10 a*4086"]);
  });

  it("a lying sync makes nothing durable", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10").badSync("log", "lying", 0);
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
  });

  it("a failure nobody planned leaves it open which pages arrived, for ever", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10");
    list.end(list.beginSync("log"), { result: -28 }).sync("log");
    expect(list.states("posix-strict")).toEqual(["log=a*10", "log=b*10"]);
    expect(list.write("log", 0, "c*1").sync("log").states("posix-strict")).toEqual(["log=c*1 b*9"]);
  });

  it("an interrupted sync is not a failed one", () => {
    const list = new EventList({ log: "a*10" }).write("log", 0, "b*10");
    list.end(list.beginSync("log"), { result: -4 }).sync("log");
    expect(list.states("posix-strict")).toEqual(["log=b*10"]);
  });
});

describe("identity", () => {
  it("an inode number that is used again is another file", () => {
    const list = new EventList({ log: "a*10" }).unlink("log");
    const call = list.begin("open", { path: "new" });
    list.end(call, { inode: "1:100", created: true, result: 3 });
    list.end(
      list.begin("write", { path: "new", inode: "1:100", offset: 0, size: 1, data: Buffer.from("b") }),
    );
    list.sync("log");
    expect(list.states("posix-strict")).toEqual(["", "log=a*10", "log=a*10 | new=b*1", "new=b*1"]);
  });

  it("a file created by a call that was in flight at a kill is followed", () => {
    const list = new EventList();
    list.begin("open", { path: "new" });
    list.end(list.begin("write", { path: "new", inode: "1:7", offset: 0, size: 1, data: Buffer.from("b") }));
    expect(list.states("synchronous")).toEqual(["new=b*1"]);
  });

  it("a rename that was in flight at a kill is taken back when the old name is seen again", () => {
    const list = new EventList({ old: "a*1" });
    list.begin("rename", { path: "new", otherPath: "old", inode: "1:100" });
    expect(list.states("synchronous")).toEqual(["new=a*1", "old=a*1"]);
    list.end(list.begin("open", { path: "old" }), { inode: "1:100", result: 3 });
    expect(list.states("synchronous")).toEqual(["old=a*1"]);
  });

  it("what cannot be followed is said", () => {
    const list = new EventList({ log: "a*1" });
    list.end(
      list.begin("write", { path: "ghost", inode: "9:9", offset: 0, size: 1, data: Buffer.from("b") }),
    );
    expect(() => list.model()).toThrow("write of ghost, which is not known");
    const collapsed = new EventList({ log: "a*8192" }).allocate("log", 0, 4096, 8);
    expect(() => collapsed.model()).toThrow("mode 8 is not modelled");
  });
});

describe("a copy of the model", () => {
  it("goes its own way: what was pending before a process crash is pending after it", () => {
    const model = new EventList({ log: "a*10" }).write("log", 0, "b*10").model();
    const copy = model.fork();
    copy.sync(copy.file(copy.names.find("log")!.file!), copy.event + 1, false);
    expect(copy.dirty.size).toBe(0);
    expect(model.dirty.size).toBe(1);
  });

  it("decides what became of calls in flight when the processes are dead", () => {
    const list = new EventList({ log: "a*10" });
    list.beginWrite("log", 0, "b*10");
    const content = (inFlight: "happened" | "not-happened") => {
      const fork = list.model().fork(inFlight);
      expect(fork.inFlight).toBe(false);
      return Buffer.from(fork.file(fork.names.find("log")!.file!).live.whole()).toString();
    };
    expect(list.model().inFlight).toBe(true);
    expect(content("happened")).toBe("b".repeat(10));
    expect(content("not-happened")).toBe("a".repeat(10));
  });
});
