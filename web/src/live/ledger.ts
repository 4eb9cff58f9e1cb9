import { ENDED, type Frame, type Light, type Message } from '../contract';

/** What one message or snapshot changed. */
export interface Change {
  added: Frame[];
  updated: Frame[];
  removed: string[];
}

/**
 * The events the page holds: a snapshot plus the frames that came since.
 *
 * While a snapshot loads, messages are applied to what is shown and also kept; when it comes it replaces what is
 * held, and the kept messages are applied once more, so neither a frame that overtakes the snapshot nor one that the
 * snapshot already contains does harm.
 */
export class Ledger {
  readonly held = new Map<string, Frame>();
  private kept: Message[] | null = null;

  /** Call before the snapshot is requested. */
  expectSnapshot(): void {
    this.kept = [];
  }

  /** Apply frames newer than those held, drop events no longer visible; other messages change nothing. */
  hear(message: Message, now: number): Change {
    this.kept?.push(message);
    const change: Change = { added: [], updated: [], removed: [] };
    if (message.type === 'events') {
      for (const frame of message.events) {
        const held = this.held.get(frame.id);
        if (held && held.version >= frame.version) continue;
        const timed = { ...frame, light: lightAt(frame, now) };
        this.held.set(frame.id, timed);
        (held ? change.updated : change.added).push(timed);
      }
    } else if (message.type === 'gone') {
      for (const id of message.ids) if (this.held.delete(id)) change.removed.push(id);
    }
    return change;
  }

  /** Take a snapshot as the truth, then apply what came while it was loading. */
  replace(snapshot: Frame[], now: number): Change {
    const before = new Map(this.held);
    const kept = this.kept ?? [];
    this.kept = null;
    this.held.clear();
    for (const frame of snapshot) this.held.set(frame.id, { ...frame, light: lightAt(frame, now) });
    for (const message of kept) this.hear(message, now);

    const change: Change = { added: [], updated: [], removed: [] };
    for (const [id, frame] of this.held) {
      const old = before.get(id);
      if (!old) change.added.push(frame);
      else if (JSON.stringify(old) !== JSON.stringify(frame)) change.updated.push(frame);
    }
    for (const id of before.keys()) if (!this.held.has(id)) change.removed.push(id);
    return change;
  }

  /** Let time pass: the events whose light has turned since. */
  turnLights(now: number): Change {
    const updated: Frame[] = [];
    for (const [id, frame] of this.held) {
      const light = lightAt(frame, now);
      if (light === frame.light) continue;
      const turned = { ...frame, light };
      this.held.set(id, turned);
      updated.push(turned);
    }
    return { added: [], updated, removed: [] };
  }
}

/** The light of an event at `now` (milliseconds since 1970): a light turns without a new version of its event. */
export function lightAt(frame: Frame, now: number): Light {
  if (ENDED.has(frame.phase)) return 'none';
  if (!frame.due_at) return frame.light;
  if (!frame.warn_at) return now > Date.parse(frame.due_at) ? 'red' : frame.light;
  return lightBetween(frame.warn_at, frame.due_at, now);
}

/** Green up to 80 % of a limit, yellow to its end, red beyond. */
export const lightBetween = (warnAt: string, dueAt: string, now: number): Light =>
  now > Date.parse(dueAt) ? 'red' : now > Date.parse(warnAt) ? 'yellow' : 'green';
