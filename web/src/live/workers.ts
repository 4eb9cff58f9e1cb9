import type { WorkerFacts, WorkerPlace, WorkersMessage } from '../contract';

/** A worker on duty as the page holds them. */
export interface Worker extends WorkerFacts {
  place: WorkerPlace;
}

const NOWHERE: WorkerPlace = [null, null, null, null, null, false, false, false];

/** Who is on duty and where, by shift: everything at first, then what changes, as the map socket tells it. */
export class WorkerBook {
  readonly held = new Map<string, Worker>();

  /** Forget everyone: what is not told any more is not known any more. */
  clear(): void {
    this.held.clear();
  }

  hear(message: WorkersMessage): void {
    if (message.reset) this.held.clear();
    for (const facts of message.on_duty) {
      this.held.set(facts.id, { ...facts, place: this.held.get(facts.id)?.place ?? NOWHERE });
    }
    for (const [id, place] of Object.entries(message.places)) {
      const worker = this.held.get(id);
      if (worker) this.held.set(id, { ...worker, place });
    }
    for (const id of message.gone) this.held.delete(id);
  }
}

/** A fix older than this says where somebody was, not where they are. */
export const STALE_AFTER = 60_000;

export const isStale = (worker: Worker, now: number): boolean => worker.place[3] === null || now - worker.place[3] > STALE_AFTER;
