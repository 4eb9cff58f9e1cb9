import type { Frame } from '../contract';
import { t } from '../i18n';
import { placeOf } from '../words';
import { el } from './dom';

const QUIET = 4_000;

/** Tells screen readers what became urgent, a few at a time, and what an action did. */
export class Announcer {
  readonly element = el('div', { class: 'unseen', 'aria-live': 'polite', role: 'log' });
  private urgent: Frame[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  say(words: string): void {
    this.element.replaceChildren(el('p', {}, words));
  }

  sayUrgent(frames: Frame[]): void {
    this.urgent.push(...frames);
    if (!this.urgent.length || this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      const [first] = this.urgent;
      const count = this.urgent.length;
      this.urgent = [];
      this.timer = undefined;
      if (first) this.say(t(count > 1 ? 'urgent.many' : 'urgent.one', { count, class: first.class.name, place: placeOf(first) }));
    }, QUIET / 4);
  }
}
