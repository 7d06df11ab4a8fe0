import { expect, test } from "vitest";
import { whyNotVersion } from "./version.ts";

test.each([
  ["etcd Version: 3.4.23\nGit SHA: Not provided", undefined],
  ["etcd Version: 3.5.0-rc.1\n", undefined],
  ["etcd Version: 3.6.4\nGo OS/Arch: linux/amd64", undefined],
  ["etcd Version: 3.3.10\n", /^etcd 3\.3\.10 is on PATH, and acked knows 3\.4, 3\.5, 3\.6 only/],
  ["etcd Version: 4.0.0\n", /^etcd 4\.0\.0 is on PATH/],
  ["command not found", /names no version$/],
])("%j is accepted, or refused in one sentence", (printed, refusal) => {
  const why = whyNotVersion(printed);
  if (refusal) expect(why).toMatch(refusal);
  else expect(why).toBeUndefined();
});
