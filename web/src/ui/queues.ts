import { loadCallBacks, loadContact, loadReplies, loadSupervisions, loadUndelivered, Problem } from '../api';
import type { CallBack, OwedReply, Supervision, UndeliveredLetter } from '../contract';
import { t } from '../i18n';
import { dueIn, serverNow, shortTime } from '../time';
import { sayProblem } from './action-forms';
import { el, setText } from './dom';

const ASK_EVERY = 10_000;

type Rows = {
  id: string;
  event: string;
  title: string;
  facts: (string | null)[];
  /** How hard somebody is pressed, in words and as a colour. */
  badge?: { label: string; card: Supervision['card'] };
  /** Why, in the words of whoever asked. */
  reason?: string;
  extra?: Node;
  late?: boolean;
  mine?: boolean;
}[];

/** One queue of what waits for somebody; nothing is shown while nothing waits. */
class Queue {
  readonly element: HTMLElement;
  private readonly title: HTMLElement;
  private readonly rows = el('ol', { class: 'waiting-rows' });
  private shown = '';

  constructor(
    private readonly name: 'undelivered' | 'supervision' | 'reply' | 'call-back',
    private readonly load: () => Promise<Rows>,
    private readonly onSelect: (event: string) => void,
  ) {
    this.title = el('summary', { 'data-testid': `${name}-count` });
    this.element = el('details', { class: `waiting ${name}`, 'data-testid': name, role: 'status', hidden: true }, this.title, this.rows);
  }

  /** Ask now and from then on; a question that fails is asked again. */
  start(): void {
    const ask = (): void => {
      this.load()
        .then((rows) => this.show(rows))
        .catch(() => undefined)
        .finally(() => setTimeout(ask, ASK_EVERY));
    };
    ask();
  }

  private show(rows: Rows): void {
    const content = JSON.stringify(rows);
    if (content === this.shown) return;
    this.shown = content;
    this.element.hidden = rows.length === 0;
    const mine = rows.filter((row) => row.mine).length;
    setText(this.title, mine ? t('supervision.title_mine', { count: rows.length, mine }) : t(`${this.name}.title`, { count: rows.length }));
    this.rows.replaceChildren(
      ...rows.map((row) =>
        el(
          'li',
          { class: row.late ? 'late' : '', 'data-testid': `${this.name}-row`, 'data-event-id': row.event },
          row.badge ? el('span', { class: `press press-${row.badge.card}` }, row.badge.label) : null,
          row.badge ? ' ' : null,
          el('button', { class: 'link', type: 'button', onclick: () => this.onSelect(row.event) }, row.title),
          el('p', { class: 'by' }, row.facts.filter(Boolean).join(' · ')),
          row.reason ? el('p', { class: 'reason' }, row.reason) : null,
          row.extra ?? null,
        ),
      ),
    );
  }
}

/** What waits for somebody: letters that no device acknowledges, cards without an answer, replies owed, reporters to call. */
export class Queues {
  readonly element: HTMLElement;
  private readonly queues: Queue[];

  constructor(onSelect: (event: string) => void) {
    this.queues = [
      new Queue('undelivered', () => loadUndelivered().then(({ letters }) => letters.map(letterRow)), onSelect),
      new Queue('supervision', () => loadSupervisions().then(({ supervisions }) => supervisions.map(cardRow)), onSelect),
      new Queue('reply', () => loadReplies().then(({ replies }) => replies.map(replyRow)), onSelect),
      new Queue('call-back', () => loadCallBacks().then(({ call_backs }) => call_backs.map(callRow)), onSelect),
    ];
    this.element = el('div', { class: 'queues' }, ...this.queues.map((queue) => queue.element));
  }

  start(): void {
    for (const queue of this.queues) queue.start();
  }
}

const letterRow = (letter: UndeliveredLetter): Rows[number] => ({
  id: letter.event,
  event: letter.event,
  title: `${letter.number} ${letter.class}`,
  facts: [
    letter.letter,
    letter.post,
    t('undelivered.since', { time: shortTime(letter.sent_at) }),
    letter.stage === 'supervisor' ? t('undelivered.supervisor') : null,
  ],
});

const cardRow = (card: Supervision): Rows[number] => ({
  id: card.id,
  event: card.event,
  title: `${card.number} ${card.class}`,
  badge: { label: card.card_label, card: card.card },
  reason: card.reason,
  late: Date.parse(card.answer_due_at) < serverNow(),
  mine: card.mine,
  facts: [
    card.mine ? t('supervision.mine') : [card.post, card.level_label].filter(Boolean).join(' '),
    dueIn(card.answer_due_at),
    card.by ? t('supervision.from', { who: card.by }) : t('supervision.by_rule'),
  ],
});

const replyRow = (reply: OwedReply): Rows[number] => ({
  id: reply.id,
  event: reply.event,
  title: `${reply.number} ${reply.class}`,
  late: Date.parse(reply.reply_due_at) < serverNow(),
  facts: [
    [reply.channel_label, reply.external_number].filter(Boolean).join(' '),
    reply.matter_label,
    dueIn(reply.reply_due_at),
    reply.status_label,
  ],
});

const callRow = (call: CallBack): Rows[number] => ({
  id: call.id,
  event: call.event,
  title: `${call.number} ${call.class}`,
  facts: [call.reporter, t('call-back.until', { time: shortTime(call.answer_until) })],
  extra: contact(call.id),
});

/** The number is shown when somebody asks for it, since asking is written down. */
function contact(id: string): HTMLElement {
  const place = el('span', { class: 'contact', role: 'status', 'data-testid': 'contact' });
  const show = (): void => {
    loadContact(id)
      .then(({ name, phone }) => setText(place, [name, phone].filter(Boolean).join(' ')))
      .catch((error: unknown) => setText(place, error instanceof Problem ? sayProblem(error) : String(error)));
  };
  return el('p', { class: 'by' }, el('button', { class: 'link', type: 'button', 'data-testid': 'show-contact', onclick: show }, t('call-back.contact')), ' ', place);
}
