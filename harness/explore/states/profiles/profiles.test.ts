import { describe, expect, it } from "vitest";
import { EventList } from "../../fixtures/event-list.ts";
import { profileByName, profileNames } from "./index.ts";

describe("ext4-ordered", () => {
  it("names survive as a prefix of their order", () => {
    const list = new EventList({ a: "" }).create("b").rename("a", "c").unlink("c");
    expect(list.states("ext4-ordered")).toEqual(["a=", "a= | b=", "b=", "b= | c="]);
  });

  it("a sync of a new file commits every change of names before it", () => {
    const list = new EventList({ a: "" }).rename("a", "c").create("b").sync("b");
    expect(list.states("ext4-ordered")).toEqual(["b= | c="]);
    const grown = new EventList({ a: "", log: "x*10" })
      .rename("a", "c")
      .write("log", 10, "y*1")
      .datasync("log");
    expect(grown.states("ext4-ordered")).toEqual(["c= | log=x*10 y*1"]);
  });

  it("a sync that only overwrites commits none, and fdatasync not even the rename of its own file", () => {
    const other = new EventList({ a: "", log: "x*10" }).rename("a", "c").write("log", 0, "y*1").sync("log");
    expect(other.states("ext4-ordered")).toEqual(["a= | log=y*1 x*9", "c= | log=y*1 x*9"]);
    const own = new EventList({ a: "x*10" }).rename("a", "c").write("c", 0, "y*1");
    expect(own.datasync("c").states("ext4-ordered")).toEqual(["a=y*1 x*9", "c=y*1 x*9"]);
    expect(own.sync("c").states("ext4-ordered")).toEqual(["c=y*1 x*9"]);
  });

  it("the sync of a directory commits its names, and all that came before", () => {
    const list = new EventList({ a: "", "sub/": "" }).create("sub/b").rename("a", "c").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["c= | sub/ | sub/b="]);
  });

  it("a sync that overlapped with another one commits what had ended when its own file was last changed", () => {
    const list = new EventList({ a: "", x: "" }).create("b");
    const other = list.beginSync("b");
    list.rename("x", "y").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["a= | b= | y="]);
    const late = new EventList({ a: "x*10", x: "" }).create("b");
    const first = late.beginSync("b");
    late.truncate("a", 5).sync(".");
    expect(late.states("ext4-ordered")).toEqual([
      "a=x*10 | b= | x=",
      "a=x*5 0*5 | b= | x=",
      "a=x*5 | b= | x=",
    ]);
    list.end(other);
    late.end(first);
  });

  it("a change of names in flight when the sync began is not covered", () => {
    const list = new EventList({ a: "" });
    const rename = list.beginRename("a", "c");
    const sync = list.beginSync(".");
    list.end(rename).end(sync);
    expect(list.states("ext4-ordered")).toEqual(["a=", "c="]);
  });

  it("new pages are whole or zeros, and the size may stop at page boundaries", () => {
    const list = new EventList().create("b").write("b", 0, "b*5000");
    expect(list.states("ext4-ordered")).toEqual([
      "",
      "b=",
      "b=0*4096",
      "b=0*4096 b*904",
      "b=0*5000",
      "b=b*4096",
      "b=b*4096 0*904",
      "b=b*5000",
    ]);
  });

  it("an append may show zeros, inside the last block and behind it, each page on its own", () => {
    const list = new EventList({ a: "a*100" }).write("a", 100, "b*200");
    expect(list.states("ext4-ordered")).toEqual(["a=a*100", "a=a*100 0*200", "a=a*100 b*200"]);
    const over = new EventList({ a: "a*4000" }).write("a", 4000, "b*200");
    expect(over.states("ext4-ordered")).toEqual([
      "a=a*4000",
      "a=a*4000 0*200",
      "a=a*4000 0*96",
      "a=a*4000 0*96 b*104",
      "a=a*4000 b*200",
      "a=a*4000 b*96",
      "a=a*4000 b*96 0*104",
    ]);
  });

  it("a new page that has been written back once may miss what was appended to it since", () => {
    const list = new EventList().create("b").sync("b").write("b", 0, "b*10").write("b", 10, "c*10");
    expect(list.states("ext4-ordered")).toEqual([
      "b=",
      "b=0*10",
      "b=0*20",
      "b=b*10",
      "b=b*10 0*10",
      "b=b*10 c*10",
    ]);
  });

  it("overwrites in place are not ordered, page by page", () => {
    const list = new EventList({ a: "a*8192" }).write("a", 0, "b*8192");
    expect(list.states("ext4-ordered")).toEqual([
      "a=a*4096 b*4096",
      "a=a*8192",
      "a=b*4096 a*4096",
      "a=b*8192",
    ]);
  });

  it("small appends inside one page survive as a prefix", () => {
    const list = new EventList({ a: "0*4096" }).write("a", 0, "b*10").write("a", 10, "c*10");
    expect(list.states("ext4-ordered")).toEqual(["a=0*4096", "a=b*10 0*4086", "a=b*10 c*10 0*4076"]);
  });

  it("a rename that replaces a file brings the data of the new one", () => {
    const list = new EventList({ a: "a*10" }).create("t").write("t", 0, "t*10").rename("t", "a");
    expect(list.states("ext4-ordered")).toEqual([
      "a=a*10",
      "a=a*10 | t=",
      "a=a*10 | t=0*10",
      "a=a*10 | t=t*10",
      "a=t*10",
    ]);
    expect(list.sync(".").states("ext4-ordered")).toEqual(["a=t*10"]);
  });

  it("a rename to a new name does not", () => {
    const list = new EventList().create("t").write("t", 0, "t*10").rename("t", "a").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["a=", "a=0*10", "a=t*10"]);
  });

  it("a larger size comes after all earlier changes of names, an overwrite does not", () => {
    const list = new EventList({ a: "a*10", x: "" }).rename("x", "y").write("a", 10, "b*1");
    expect(list.states("ext4-ordered")).toEqual([
      "a=a*10 0*1 | y=",
      "a=a*10 b*1 | y=",
      "a=a*10 | x=",
      "a=a*10 | y=",
    ]);
    const over = new EventList({ a: "a*10", x: "" }).rename("x", "y").write("a", 0, "b*1");
    expect(over.states("ext4-ordered")).toEqual([
      "a=a*10 | x=",
      "a=a*10 | y=",
      "a=b*1 a*9 | x=",
      "a=b*1 a*9 | y=",
    ]);
  });

  it("a truncation is a change of metadata like the others; its zeros in a block that stays may come first", () => {
    const list = new EventList({ a: "a*10", x: "" }).truncate("a", 4).rename("x", "y").write("a", 6, "b*2");
    expect(list.states("ext4-ordered")).toEqual([
      "a=a*10 | x=",
      "a=a*4 0*2 b*2 0*2 | x=",
      "a=a*4 0*2 b*2 | y=",
      "a=a*4 0*4 | y=",
      "a=a*4 0*6 | x=",
      "a=a*4 | x=",
      "a=a*4 | y=",
    ]);
  });

  it("a truncation brings its size, and not the data written before it", () => {
    const list = new EventList().create("a").sync("a").write("a", 0, "b*10").truncate("a", 4);
    list.create("c").sync("c");
    expect(list.states("ext4-ordered")).toEqual(["a=0*4 | c=", "a=b*4 | c="]);
  });

  it("a whole page that was cut off is gone with the truncation, and comes back without it only", () => {
    const list = new EventList({ a: "a*4100" }).truncate("a", 0).write("a", 0, "b*10");
    expect(list.states("ext4-ordered")).toEqual(["a=", "a=0*10", "a=a*4100", "a=b*10"]);
  });

  it("a second replacing rename does not flush what was appended since the first", () => {
    const list = new EventList({ a: "", b: "" }).create("t").write("t", 0, "t*10").rename("t", "a");
    list.write("a", 10, "u*10").rename("a", "b").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["b=t*10 0*10", "b=t*10 u*10"]);
  });

  it("a replacing rename flushes what was written after a truncation took the block of an earlier one away", () => {
    const list = new EventList({ a: "", b: "" }).create("t").write("t", 0, "t*10").rename("t", "a");
    list.truncate("a", 0).write("a", 0, "u*10").rename("a", "b").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["b=u*10"]);
  });

  it("a replacing rename flushes what has no block yet; a block that is there may stay behind", () => {
    const list = new EventList({ a: "", t: "t*10" }).write("t", 10, "u*10").rename("t", "a").sync(".");
    expect(list.states("ext4-ordered")).toEqual(["a=t*10 0*10", "a=t*10 u*10"]);
  });

  it("a fallocate shows zeros, and its size does not wait for data", () => {
    const list = new EventList({ a: "a*10" }).allocate("a", 0, 5000).write("a", 4096, "b*4");
    expect(list.states("ext4-ordered")).toEqual(["a=a*10", "a=a*10 0*4086 b*4 0*900", "a=a*10 0*4990"]);
  });
});

describe("ext4-writeback", () => {
  it("a size may be there before its data, and a replacing rename flushes nothing", () => {
    const list = new EventList({ a: "a*10" }).create("t").write("t", 0, "t*10").rename("t", "a").sync(".");
    expect(list.states("ext4-writeback")).toEqual(["a=", "a=0*10", "a=t*10"]);
  });
});

describe("xfs", () => {
  it("a size comes after the data of the page in which it ends, and an append never shows zeros", () => {
    const append = new EventList({ a: "a*100" }).write("a", 100, "b*200");
    expect(append.states("xfs")).toEqual(["a=a*100", "a=a*100 b*200"]);
    const large = new EventList({ a: "" }).write("a", 0, "b*8192");
    expect(large.states("xfs")).toEqual(["a=", "a=0*4096 b*4096", "a=b*4096", "a=b*8192"]);
  });

  it("a replacing rename may leave an empty file, and fdatasync commits the rename of its own file", () => {
    const list = new EventList({ a: "a*10" }).create("t").write("t", 0, "t*10").rename("t", "a").sync(".");
    expect(list.states("xfs")).toEqual(["a=", "a=t*10"]);
    const own = new EventList({ a: "x*10" }).rename("a", "c").write("c", 0, "y*1").datasync("c");
    expect(own.states("xfs")).toEqual(["c=y*1 x*9"]);
  });
});

describe("posix-strict", () => {
  it("a name needs the sync of its directory: the sync of the file brings none", () => {
    const list = new EventList().create("b").write("b", 0, "b*10").sync("b");
    expect(list.states("posix-strict")).toEqual(["", "b=b*10"]);
    expect(list.sync(".").states("posix-strict")).toEqual(["b=b*10"]);
  });

  it("changes of different names are independent, those of one name are in order", () => {
    const list = new EventList({ a: "" }).create("b").unlink("a");
    expect(list.states("posix-strict")).toEqual(["", "a=", "a= | b=", "b="]);
    const chain = new EventList({ a: "" }).rename("a", "b").rename("b", "c");
    expect(chain.states("posix-strict")).toEqual(["a=", "b=", "c="]);
  });

  it("a rename is atomic, and may be there before the data", () => {
    const list = new EventList({ a: "a*10" }).create("t").sync(".").write("t", 0, "t*10").rename("t", "a");
    expect(list.states("posix-strict")).toEqual([
      "a=",
      "a=0*10",
      "a=a*10 | t=",
      "a=a*10 | t=0*10",
      "a=a*10 | t=t*10",
      "a=t*10",
    ]);
  });

  it("a rename from one directory to another is durable with the directory of the new name", () => {
    const list = new EventList({ "sub/": "", a: "" }).rename("a", "sub/a").sync(".");
    expect(list.states("posix-strict")).toEqual(["a= | sub/", "sub/ | sub/a="]);
    expect(list.sync("sub").states("posix-strict")).toEqual(["sub/ | sub/a="]);
  });

  it("sizes and pages are independent: holes, zeros, and data behind the end", () => {
    const list = new EventList({ a: "a*10" }).write("a", 10, "b*4200");
    expect(list.states("posix-strict")).toEqual([
      "a=a*10",
      "a=a*10 0*4086",
      "a=a*10 0*4086 b*114",
      "a=a*10 0*4200",
      "a=a*10 b*4086",
      "a=a*10 b*4086 0*114",
      "a=a*10 b*4200",
    ]);
  });

  it("a hard link is a name like any other", () => {
    const list = new EventList({ a: "x*1" }).link("a", "b").unlink("a");
    expect(list.states("posix-strict")).toEqual(["", "a=x*1", "a=x*1 | b=x*1", "b=x*1"]);
  });
});

describe("synchronous", () => {
  it("nothing that ended is lost; a call in flight may be there in part", () => {
    const list = new EventList({ a: "a*8192" }).create("b").write("b", 0, "b*5").rename("b", "c");
    expect(list.states("synchronous")).toEqual(["a=a*8192 | c=b*5"]);
    list.beginWrite("a", 4090, "x*10");
    expect(list.states("synchronous")).toHaveLength(4);
  });
});

describe("the list of profiles", () => {
  it("begins with the gate, and names the nearest for one that does not exist", () => {
    expect(profileNames[0]).toBe("ext4-ordered");
    expect(() => profileByName("ext4-orderd")).toThrow("did you mean ext4-ordered?");
  });
});
