/** The two ways in which ramlog gives up, each with one sentence for a person. */

/** The store will not open this directory; it has changed nothing in it that was needed. */
export class StartRefused extends Error {
  override readonly name = "StartRefused";
}

/**
 * The log could not be written or synced. Nothing is accepted any more; operations in flight may or may not survive.
 * A failed sync is never tried again: the kernel may have dropped the data it failed to write.
 */
export class StoreFailed extends Error {
  override readonly name = "StoreFailed";
}
