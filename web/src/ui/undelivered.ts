import { loadUndelivered } from '../api';
import type { UndeliveredLetter } from '../contract';
import { t } from '../i18n';
import { shortTime } from '../time';
import { el, setText } from './dom';

const ASK_EVERY = 10_000;

/** The queue of letters that no device acknowledges; nothing is shown while there are none. */
export class Undelivered {
  readonly element: HTMLElement;
  private readonly title = el('summary', { 'data-testid': 'undelivered-count' });
  private readonly rows = el('ol', { class: 'undelivered-rows' });
  private shown = '';

  constructor(private readonly onSelect: (event: string) => void) {
    this.element = el('details', { class: 'undelivered', 'data-testid': 'undelivered', role: 'status', hidden: true }, this.title, this.rows);
  }

  /** Ask now and from then on; a question that fails is asked again. */
  start(): void {
    const ask = (): void => {
      loadUndelivered()
        .then(({ letters }) => this.show(letters))
        .catch(() => undefined)
        .finally(() => setTimeout(ask, ASK_EVERY));
    };
    ask();
  }

  private show(letters: UndeliveredLetter[]): void {
    const content = JSON.stringify(letters);
    if (content === this.shown) return;
    this.shown = content;
    this.element.hidden = letters.length === 0;
    setText(this.title, t('undelivered.title', { count: letters.length }));
    this.rows.replaceChildren(...letters.map((letter) => this.row(letter)));
  }

  private row(letter: UndeliveredLetter): HTMLElement {
    const when = t('undelivered.since', { time: shortTime(letter.sent_at) });
    const facts = [letter.letter, letter.post, when, letter.stage === 'supervisor' ? t('undelivered.supervisor') : null];
    return el(
      'li',
      { 'data-testid': 'undelivered-row', 'data-event-id': letter.event },
      el('button', { class: 'link', type: 'button', onclick: () => this.onSelect(letter.event) }, `${letter.number} ${letter.class}`),
      el('p', { class: 'by' }, facts.filter(Boolean).join(' · ')),
    );
  }
}
