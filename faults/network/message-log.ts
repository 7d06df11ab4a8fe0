/**
 * What went over the links of a network, message by message, for whoever wants to see what passed around some moment. A
 * message is what one read from its sender's socket brought: on loopback mostly what one write of it had sent.
 *
 * Times are taken in the proxy: when it had read the message, and when it handed it to the receiver's socket, all of it.
 * One that was held by a fault and never let go, or cut, has not arrived. Bytes are counted and not kept.
 *
 * Memory is bounded: of more than `messagesMax` the oldest are forgotten, `blockMessages` at a time.
 */
import type { LinkMessage, LinkMessages } from "../contract.ts";

const blockMessages = 1 << 14;
/** 20 bytes each: 20 MiB. */
const messagesMax = 1 << 20;

interface Block {
  readonly links: Uint16Array;
  readonly bytes: Uint32Array;
  /** ms of `performance.now()`. */
  readonly sentMs: Float64Array;
  /** ms after it was sent; -1: not. */
  readonly afterMs: Float32Array;
}

export class MessageLog implements LinkMessages {
  /** ns of CLOCK_MONOTONIC at `performance.now() === 0`. */
  readonly #zeroNs = Number(process.hrtime.bigint()) - performance.now() * 1e6;
  readonly #names: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #messagesMax: number;
  #blocks: Block[] = [];
  /** Number of the first message of the first block, and of the next message. */
  #first = 0;
  #next = 0;

  constructor(most = messagesMax) {
    this.#messagesMax = Math.max(2, Math.ceil(most / blockMessages)) * blockMessages;
  }

  /** How many messages are remembered at most. */
  get most(): number {
    return this.#messagesMax;
  }

  /** The number by which a link is told. */
  link(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#names.push(name) - 1;
      this.#numbers.set(name, number);
    }
    return number;
  }

  /** A message has come in from its sender. Returns its number. */
  sent(link: number, bytes: number): number {
    return this.#add(link, bytes, -1);
  }

  /** A message came in and went on at once. */
  passed(link: number, bytes: number): void {
    this.#add(link, bytes, 0);
  }

  /** All of it has been handed to its receiver. */
  arrived(message: number): void {
    if (message < this.#first) return;
    const place = message - this.#first;
    const block = this.#blocks[Math.floor(place / blockMessages)]!;
    const at = place % blockMessages;
    block.afterMs[at] = Math.max(0, performance.now() - block.sentMs[at]!);
  }

  /**
   * What was sent, or arrived, from `fromNs` to `toNs` (CLOCK_MONOTONIC), in the order in which it was sent.
   *
   * @param wanted by the link's name.
   */
  between(fromNs: number, toNs: number, wanted: (link: string) => boolean): LinkMessage[] {
    const fromMs = (fromNs - this.#zeroNs) / 1e6;
    const toMs = (toNs - this.#zeroNs) / 1e6;
    const chosen = this.#names.map(wanted);
    const found: LinkMessage[] = [];
    for (let message = this.#first; message < this.#next; message += 1) {
      const place = message - this.#first;
      const block = this.#blocks[Math.floor(place / blockMessages)]!;
      const at = place % blockMessages;
      const sentMs = block.sentMs[at]!;
      if (sentMs > toMs) break;
      const after = block.afterMs[at]!;
      const inside = sentMs >= fromMs || (after >= 0 && sentMs + after >= fromMs && sentMs + after <= toMs);
      if (!inside || !chosen[block.links[at]!]) continue;
      found.push({
        link: this.#names[block.links[at]!]!,
        bytes: block.bytes[at]!,
        sentNs: this.#zeroNs + sentMs * 1e6,
        ...(after < 0 ? {} : { arrivedAfterNs: Math.round(after * 1e6) }),
      });
    }
    return found;
  }

  /** True when messages from before that moment (CLOCK_MONOTONIC, ns) may have been forgotten. */
  forgot(ns: number): boolean {
    return this.#first > 0 && this.#zeroNs + this.#blocks[0]!.sentMs[0]! * 1e6 > ns;
  }

  #add(link: number, bytes: number, afterMs: number): number {
    const place = this.#next - this.#first;
    const at = place % blockMessages;
    if (at === 0) {
      if (place === this.#messagesMax) {
        this.#blocks = this.#blocks.slice(1);
        this.#first += blockMessages;
      }
      this.#blocks.push({
        links: new Uint16Array(blockMessages),
        bytes: new Uint32Array(blockMessages),
        sentMs: new Float64Array(blockMessages),
        afterMs: new Float32Array(blockMessages),
      });
    }
    const block = this.#blocks.at(-1)!;
    block.links[at] = link;
    block.bytes[at] = bytes;
    block.sentMs[at] = performance.now();
    block.afterMs[at] = afterMs;
    return this.#next++;
  }
}
