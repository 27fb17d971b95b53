/**
 * Group commit: what several ask to have stored within a few milliseconds is stored by one commit,
 * and each is answered when that commit is done. A commit waits for the disk, so a hundred rooms
 * that share one wait a hundredth each.
 *
 * One commit at a time; what comes meanwhile is the next group, as much of it as one commit may
 * have. When a commit fails, all of its group fail, and each may ask again. Where one item is the
 * cause (`isOfOne`), each is committed by itself, so that it fails alone.
 */
export interface GroupCommitLimits {
  /** Milliseconds that the first of a group waits for others. */
  readonly waitMs: number;
  /**
   * A group that large is committed without waiting, and none is larger, unless it is of one item.
   */
  readonly weight: number;
}

export interface GroupCommitFigures {
  /** Items that wait for the next commit. */
  readonly waiting: number;
  /** Commits begun, and those of them that failed. */
  readonly commits: number;
  readonly failures: number;
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly weight: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit<Item, Answer> {
  readonly #commit: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #limits: GroupCommitLimits;
  readonly #isOfOne: (error: unknown) => boolean;
  #group: Waiting<Item, Answer>[] = [];
  #weight = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #commits = 0;
  #failures = 0;

  /** `commit` stores a group and gives an answer for each item, in order. */
  constructor(
    commit: (items: readonly Item[]) => Promise<readonly Answer[]>,
    limits: GroupCommitLimits,
    isOfOne: (error: unknown) => boolean = () => false,
  ) {
    this.#commit = commit;
    this.#limits = limits;
    this.#isOfOne = isOfOne;
  }

  get figures(): GroupCommitFigures {
    return { waiting: this.#group.length, commits: this.#commits, failures: this.#failures };
  }

  add(item: Item, weight: number): Promise<Answer> {
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#group.push({ item, weight, resolve, reject });
    });
    this.#weight += weight;
    if (this.#running === undefined) {
      if (this.#weight >= this.#limits.weight) this.#start();
      else this.#timer ??= setTimeout(() => this.#start(), this.#limits.waitMs);
    }
    return answer;
  }

  /** Stores what waits and settles when nothing does any more. */
  async settled(): Promise<void> {
    while (this.#running !== undefined || this.#group.length > 0) {
      if (this.#running === undefined) this.#start();
      await this.#running;
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const group = this.#take();
    this.#running = this.#store(group).then(() => {
      this.#running = undefined;
      // It has gathered for as long as the last commit took.
      if (this.#group.length > 0) this.#start();
    });
  }

  /** The first that waits, and what fits beside it. */
  #take(): readonly Waiting<Item, Answer>[] {
    let weight = 0;
    const fits = this.#group.findIndex((waiting, index) => {
      weight += waiting.weight;
      return index > 0 && weight > this.#limits.weight;
    });
    const group = this.#group.splice(0, fits === -1 ? this.#group.length : fits);
    for (const taken of group) this.#weight -= taken.weight;
    return group;
  }

  async #store(group: readonly Waiting<Item, Answer>[]): Promise<void> {
    this.#commits += 1;
    try {
      const answers = await this.#commit(group.map(({ item }) => item));
      group.forEach(({ resolve }, index) => void resolve(answers[index] as Answer));
    } catch (error) {
      this.#failures += 1;
      if (group.length > 1 && this.#isOfOne(error)) for (const waiting of group) await this.#store([waiting]);
      else for (const { reject } of group) reject(error);
    }
  }
}
