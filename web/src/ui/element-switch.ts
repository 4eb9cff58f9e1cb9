import { loadElementCounts } from '../api';
import type { ElementCounts } from '../contract';
import { t } from '../i18n';
import { el } from './dom';

/** Which kinds of elements are counted on the map; the counts come when they are first wanted. */
export class ElementSwitch {
  readonly element: HTMLDetailsElement;
  private readonly rows = el('div', {});
  private readonly chosen = new Set<string>();
  private readonly onChoice: (counts: ElementCounts, kinds: ReadonlySet<string>) => void;
  private asked = false;

  constructor(onChoice: (counts: ElementCounts, kinds: ReadonlySet<string>) => void) {
    this.onChoice = onChoice;
    this.element = el(
      'details',
      { class: 'card levels', 'data-testid': 'elements', ontoggle: () => void this.fill() },
      el('summary', {}, t('map.elements')),
      this.rows,
    );
  }

  private async fill(): Promise<void> {
    if (!this.element.open || this.asked) return;
    this.asked = true;
    try {
      const counts = await loadElementCounts();
      this.rows.replaceChildren(...counts.kinds.map(({ kind, label }) => this.row(counts, kind, label)));
    } catch {
      this.asked = false;
      this.rows.replaceChildren(el('p', { class: 'why', role: 'alert' }, t('map.elements_failed')));
    }
  }

  private row(counts: ElementCounts, kind: string, label: string): HTMLElement {
    const sum = Object.values(counts.cells).reduce((all, byKind) => all + (byKind[kind] ?? 0), 0);
    const toggle = (): void => {
      if (!this.chosen.delete(kind)) this.chosen.add(kind);
      this.onChoice(counts, this.chosen);
    };
    const box = el('input', { type: 'checkbox', 'data-testid': `element-${kind}`, onchange: toggle });
    return el('label', { class: 'level' }, box, el('span', {}, `${label} (${sum})`));
  }
}
