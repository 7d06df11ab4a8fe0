/** A seeded generator for keys and arrival times: small and fast, because it is called once per measured request. */

/** Uniform doubles in [0, 1); the same seed gives the same sequence (mulberry32, public domain, T. Ettinger). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Offsets (ns from the start) of Poisson arrivals at `perSecond`, endless. */
export function* poissonArrivals(perSecond: number, random: () => number): Generator<number, never> {
  const meanNs = 1e9 / perSecond;
  let offset = 0;
  for (;;) {
    offset += -Math.log(1 - random()) * meanNs;
    yield offset;
  }
}
