/**
 * A disk that loses nothing (mounted with `-o sync,dirsync`, or a machine whose power never fails): each call is durable
 * when it ends; only calls in flight may be there, partly there or not there. What is lost here is lost by a process
 * crash already.
 */
import type { Profile } from "./profile.ts";

export const synchronous: Profile = {
  name: "synchronous",
  summary: "nothing that had been written is lost; calls in flight may be partly done",
  metadata: "certain",
  sizeFollows: "nothing",
  renameFlushes: false,
};
