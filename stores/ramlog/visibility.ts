/**
 * What a reply may reveal. No reply shows state that could still be lost: not a read, and neither a failed compare, a
 * `nil`, a length, a count nor an error about a value's type. Each is held until the newest entry it could have seen
 * is released by the log. Linearizability across a crash depends on it.
 */
export interface Visibility {
  /**
   * The log index whose release the reply waits for.
   *
   * @param seen newest entry whose effect the reply could show; 0 when it shows no state
   * @param wrote the entry this command wrote; 0 when it wrote none
   */
  holdUntil(seen: number, wrote: number): number;
}

/** Hold every reply until all that it could have seen, and all that it wrote, is released. */
export const durableOnly: Visibility = {
  holdUntil: (seen, wrote) => (seen > wrote ? seen : wrote),
};
