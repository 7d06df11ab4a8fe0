/**
 * The optional power of a store to run as a cluster: several members that replicate to each other, of which some may be
 * cut off, paused, killed or given a bad disk while the others go on. A `Store` with `clustered` is run by
 * harness/clusters/, on a network in which every directed link is under the nemesis (`Network` in faults/contract.ts).
 *
 * A member is one node of the network: a data directory and one or more processes (a server, a sentinel beside it) that
 * live and die together. It has one port for each of the cluster's *purposes*. Where a process listens is chosen anew at
 * each start; where everybody else reaches it never changes, and is what members must be told of each other.
 */
import type { Client, Durability, Endpoint, Launch, NodeSettings, Survival } from "./contract.ts";

/** Where one port of a member is. */
export interface MemberPort {
  /** The process is to listen here. */
  readonly listen: Endpoint;
  /** Every other member reaches it here: the address to announce. Leads through the network's links. */
  readonly reach: Endpoint;
}

/** One member, as every other member may know it. */
export interface Member {
  /** `n1`, `n2`, … */
  readonly name: string;
  readonly reach: Readonly<Record<string, Endpoint>>;
}

/** What one member needs to know to be launched. `port` is the listening port of the first purpose. */
export interface MemberSettings extends NodeSettings {
  readonly ports: Readonly<Record<string, MemberPort>>;
  /** All members in order, this one among them. */
  readonly members: readonly Member[];
  /**
   * `forming`: the cluster's first start, `dir` is empty. `again`: its own files are there, or what a fault left of them.
   * `joining`: `dir` is empty and the cluster is running; the member it replaces has been removed (`Clustered.replace`).
   */
  readonly as: "forming" | "again" | "joining";
  /** The member that leads, where acked decides that (`Clustered.promote`); n1 at first. */
  readonly leader: string;
}

/** How to start one process of a member. */
export interface MemberLaunch extends Launch {
  /** The purpose whose port it listens on; readiness is looked for there. */
  readonly purpose: string;
  /**
   * Absent: the member cannot be without it. False: it keeps nothing of what clients store (a sentinel, an arbiter), and no
   * disk fault is put below it.
   */
  readonly stores?: false;
  /** Of such a process: the directory in the data directory that it alone writes to. A loss of power leaves it as it is. */
  readonly ownDirectory?: string;
}

/** What a cluster's own documentation says its clients may rely on. Judged against nothing else. */
export interface ClusterPromise {
  /**
   * Every acknowledged operation of a client (`connect`) takes effect once, between its invocation and its completion,
   * whatever happens to a minority of the members or to the network. False: what contradicts that is measured (stale
   * reads in ms, acknowledged writes lost) and is no finding.
   */
  readonly linearizable: boolean;
  /**
   * What `linearizable` presupposes of whoever operates the cluster, by its documentation; a run that did not keep to it
   * measures what contradicts linearizability. `the old leader is fenced`: a member that led is stopped before another is
   * promoted, and comes back only rebuilt. `a restarted leader is not deposed`: a leader that was restarted while it could
   * not reach its followers shows what nobody was told, and what is lost with it. (No storm of this version does both.)
   */
  readonly presupposes?: readonly ("the old leader is fenced" | "a restarted leader is not deposed")[];
  /** What a change of the leader, or the loss of a member, keeps of what was acknowledged. */
  readonly failover: Survival;
  /** At most one member acknowledges writes at a time. False: two at once are measured, and are no finding. */
  readonly oneLeader: boolean;
  /** What survives when power is lost on all members at once. */
  readonly powerLossOfAll: Survival;
  /**
   * It serves while fewer than half of its members are unreachable. False: only the leader's own absence is excused by
   * `promote`. Told, not judged: how long it did not serve is measured for each fault.
   */
  readonly servesWithMajority: boolean;
  /** The documentation's own words, and where they are. */
  readonly source: string;
}

/** How one client sees the cluster: its own links to every member. */
export interface ClusterView {
  /** The member that this client belongs to. */
  readonly home: string;
  /** In order. */
  readonly members: readonly string[];
  /** Where this client reaches that member's port, over its own link. */
  endpoint(member: string, purpose: string): Endpoint;
  /** The member whose announced address (`Member.reach`) this is; `undefined` when it is nobody's. */
  memberAt(reach: Endpoint): string | undefined;
  /** Who leads according to whoever decides that by hand (`Clustered.promote`). */
  readonly leader: string;
}

/** A client of a cluster, and the member that it speaks to. */
export interface ClusterClient {
  readonly client: Client;
  readonly member: string;
}

/** What one member says of itself, asked past the links. */
export interface MemberStatus {
  /** `follower`: it follows a leader at this moment, over a connection that stands. `candidate`: neither leads nor follows. */
  readonly role: "leader" | "follower" | "candidate";
  /** Of its view of the cluster, where it has one: a term, an epoch, a timeline. A higher one is newer. */
  readonly term?: number;
  /** Whom it takes for the leader, by name, where it knows. */
  readonly leader?: string;
}

export interface Clustered {
  /** How many members it can have; `default` is what a run has that does not say. */
  readonly members: { readonly default: number; readonly least: number; readonly most: number };
  /** What each member has a port for; the first is where clients connect. */
  readonly purposes: readonly [string, ...string[]];
  promise(durability: Durability): ClusterPromise;
  /** ms within which it serves again after every fault has healed and every member was started. Default 20,000. */
  readonly healMs?: number;
  /** Processes of a member, in order of starting. Throws `ScenarioError` (with what to do) when it cannot run here. */
  launch(member: MemberSettings): Promise<readonly MemberLaunch[]>;
  /**
   * `all`: started together, and ready together (a quorum is needed). `in-order`: each is ready before the next is
   * started, and the members after the first may copy from it while it is not running (`prepare`).
   */
  readonly start: "all" | "in-order";
  /** Called once before the first start of the cluster, with every member's settings: initialise, copy a cold base. */
  prepare?(members: readonly MemberSettings[]): Promise<void>;
  /**
   * Called when all members have been started for the first time, and again when a member that was rebuilt has been
   * started: whatever makes a cluster of them. Clients may be at work the second time.
   */
  form?(members: readonly MemberSettings[], deadlineMs: number): Promise<void>;
  /** Opens a client; rejects by the deadline when this client's part of the network does not lead to one. */
  connect(view: ClusterView, workload: string, deadlineMs: number): Promise<ClusterClient>;
  /** Opens a client that reads from this very member what it holds, be it old; for the final reads of every member. */
  connectTo(view: ClusterView, member: string, workload: string, deadlineMs: number): Promise<Client>;
  /** Asked of the member itself (`endpoints` are its listening ones), past the links. Rejects when it does not answer. */
  status(endpoints: Readonly<Record<string, Endpoint>>, deadlineMs: number): Promise<MemberStatus>;
  /**
   * Makes this member the leader; absent where members elect one themselves. Resolves when it takes writes. What becomes
   * of the member that led before is up to the run: it may come back as it is, which is how a split brain is made.
   */
  promote?(member: MemberSettings, deadlineMs: number): Promise<void>;
  /** Makes the files of a member that must follow another leader now: a copy of that leader's, its own are gone. The member is stopped; the leader may run. */
  rebuild?(member: MemberSettings, from: MemberSettings): Promise<void>;
  /**
   * Removes `member` from the running cluster and admits a new one in its place, asked of `through`, a member that runs.
   * The new one is then launched `as: "joining"` on an empty directory. Absent: it cannot be replaced.
   */
  replace?(
    member: MemberSettings,
    through: Readonly<Record<string, Endpoint>>,
    deadlineMs: number,
  ): Promise<void>;
  /** A bug planted in the cluster, or in how its clients use it, and the finding that must name it. */
  readonly plantedBug?: {
    readonly bug: string;
    readonly finding: readonly string[];
    readonly workloads: readonly string[];
    readonly faults: readonly string[];
  };
}
