import { csrfToken } from '../api';
import { type Counts, type Phase, PHASES, type Session } from '../contract';
import { language, t } from '../i18n';
import type { LinkState } from '../live/link';
import { clockTime, longDate, serverNow } from '../time';
import { phaseLabel } from '../words';
import { el, setText } from './dom';
import { markerImage } from './marker-image';

/** Brand, connection, counts, clock, who is logged in, language and logout. */
export class TopBar {
  readonly element: HTMLElement;
  private readonly connection = el('span', { class: 'connection', 'data-testid': 'connection', role: 'status' });
  private readonly counts = new Map<Phase | 'red', HTMLElement>();
  private readonly date = el('span', { class: 'date' });
  private readonly time = el('span', { class: 'time', 'data-testid': 'clock' });

  constructor(session: Session) {
    const counted = el('dl', { class: 'counts', 'aria-label': t('counts.title') });
    for (const phase of PHASES) {
      if (phase === 'declined') continue;
      counted.append(this.count(phase, phaseLabel(phase), markerImage(phase, 'none')));
    }
    counted.append(this.count('red', t('light.red'), null));
    this.element = el(
      'header',
      { class: 'top-bar' },
      el(
        'h1',
        { class: 'brand' },
        el('span', { class: 'brand-place' }, t('brand.place')),
        ' ',
        el('span', { class: 'brand-name' }, t('brand.name')),
      ),
      this.connection,
      counted,
      el('div', { class: 'clock' }, this.time, this.date),
      session.figures ? el('a', { class: 'quiet', href: '/figures/', 'data-testid': 'figures' }, t('figures.link')) : null,
      whoAmI(session),
      languageSwitch(),
      logout(),
    );
    this.showState('connecting');
    this.tick();
  }

  tick(): void {
    const now = serverNow();
    setText(this.time, clockTime(now));
    setText(this.date, longDate(now));
  }

  showState(state: LinkState): void {
    this.connection.dataset.state = state;
    setText(this.connection, t(`connection.${state}`));
  }

  showCounts({ phases, red }: Counts): void {
    for (const [key, node] of this.counts) {
      const number = (key === 'red' ? red : phases[key]) ?? 0;
      setText(node, String(number));
      if (key === 'red') node.parentElement?.classList.toggle('some', number > 0);
    }
  }

  private count(key: Phase | 'red', label: string, image: Node | null): HTMLElement {
    const number = el('dd', { 'data-testid': `count-${key}` }, '0');
    this.counts.set(key, number);
    return el('div', { class: `count count-${key}` }, image, el('dt', {}, label), number);
  }
}

function whoAmI(session: Session): HTMLElement {
  const posts = session.user.posts.map((post) => 
    [post.unit, post.department, post.label, post.stands_in_for && t('post.stands_in_for', { name: post.stands_in_for })].filter(Boolean).join(' '),
  );
  return el(
    'div',
    { class: 'who', title: posts.join('\n') },
    el('span', { class: 'who-name' }, session.user.name),
    el('span', { class: 'who-posts' }, posts.join('；')),
  );
}

const form = (action: string, ...children: Node[]): HTMLFormElement =>
  el(
    'form',
    {
      method: 'post',
      action,
      onsubmit: (event: Event) => {
        const fields = (event.currentTarget as HTMLFormElement).elements;
        (fields.namedItem('csrfmiddlewaretoken') as HTMLInputElement).value = csrfToken();
        const next = fields.namedItem('next');
        if (next instanceof HTMLInputElement) next.value = location.pathname + location.hash;
      },
    },
    el('input', { type: 'hidden', name: 'csrfmiddlewaretoken' }),
    ...children,
  );

function languageSwitch(): HTMLElement {
  const [other, label] = language === 'en' ? ['zh-hans', '中文'] : ['en', 'English'];
  return form(
    '/i18n/setlang/',
    el('input', { type: 'hidden', name: 'next' }),
    el('button', { class: 'quiet', name: 'language', value: other, lang: other, 'data-testid': 'language' }, label),
  );
}

const logout = (): HTMLElement =>
  form('/logout/', el('button', { class: 'quiet', 'data-testid': 'logout' }, t('user.logout')));
