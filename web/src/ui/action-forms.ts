import { act, Problem } from '../api';
import type { Action, ActionField, Detail, FieldValue } from '../contract';
import { t } from '../i18n';
import { momentOf } from '../time';
import { el, setText } from './dom';

export interface ActionCallbacks {
  onDone: (detail: Detail, action: Action) => void;
  /** Somebody was faster: what is shown is out of date. */
  onStale: () => void;
}

type Input = HTMLSelectElement | HTMLTextAreaElement | HTMLInputElement;

/** What the viewer may do with an event: a button each, and below them the form of the one that was chosen. */
export class ActionForms {
  readonly element = el('div', { class: 'actions' });
  private readonly callbacks: ActionCallbacks;
  private readonly trouble = el('p', { class: 'trouble', role: 'alert', 'data-testid': 'action-error' });
  private event: { id: string; version: number } = { id: '', version: 0 };
  private shape = '';
  private busy = false;

  constructor(callbacks: ActionCallbacks) {
    this.callbacks = callbacks;
  }

  /** Offer the actions of this event; a form being filled in stays while the same actions are offered. */
  show(detail: Detail): void {
    const sameEvent = detail.id === this.event.id;
    this.event = { id: detail.id, version: detail.version };
    const shape = JSON.stringify(detail.actions);
    if (sameEvent && shape === this.shape) return;
    this.shape = shape;
    if (!sameEvent) this.say('');
    const forms = el('div', { class: 'action-form' });
    const buttons = detail.actions.map((action) =>
      el(
        'button',
        {
          type: 'button',
          class: 'action',
          'data-testid': `action-${action.name}`,
          'aria-expanded': action.fields.length ? 'false' : null,
          onclick: (event: Event) => this.choose(action, event.currentTarget as HTMLElement, buttons, forms),
        },
        action.label,
      ),
    );
    this.element.replaceChildren(el('div', { class: 'action-buttons' }, ...buttons), forms, this.trouble);
  }

  /** Take away the offer while another event's is on its way. */
  clear(): void {
    this.event = { id: '', version: 0 };
    this.shape = '';
    this.say('');
    this.element.replaceChildren();
  }

  private choose(action: Action, button: HTMLElement, buttons: HTMLElement[], forms: HTMLElement): void {
    this.say('');
    if (!action.fields.length) {
      void this.send(action, new Map(), buttons);
      return;
    }
    const open = button.getAttribute('aria-expanded') === 'true';
    for (const other of buttons) {
      if (other.hasAttribute('aria-expanded')) other.setAttribute('aria-expanded', String(other === button && !open));
    }
    if (open) {
      forms.replaceChildren();
      return;
    }
    const inputs = new Map<ActionField, Input>();
    const rows = action.fields.map((field) => {
      const input = inputFor(field);
      inputs.set(field, input);
      return el(
        'label',
        { class: 'field' },
        el('span', { class: 'field-label' }, labelOf(field), field.required ? el('span', { class: 'must' }, ' *') : null),
        input,
        el('span', { class: 'field-error', id: `error-${field.name}` }),
      );
    });
    const submit = el('button', { class: 'action primary', 'data-testid': 'action-submit' }, t('action.confirm', { action: action.label }));
    forms.replaceChildren(
      el(
        'form',
        {
          novalidate: true,
          onsubmit: (event: Event) => {
            event.preventDefault();
            if (complete(inputs)) void this.send(action, inputs, [...buttons, submit]);
          },
        },
        ...rows,
        submit,
      ),
    );
    forms.querySelector<HTMLElement>('select, textarea, input')?.focus();
  }

  private async send(action: Action, inputs: Map<ActionField, Input>, buttons: HTMLElement[]): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.say('');
    for (const button of buttons) button.setAttribute('aria-disabled', 'true');
    const { id, version } = this.event;
    const values: Record<string, FieldValue> = {};
    for (const [field, input] of inputs) {
      const value = valueOf(field, input);
      if (value !== null) values[field.name] = value;
    }
    try {
      const detail = await act(id, action.name, values, version);
      this.callbacks.onDone(detail, action);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (id !== this.event.id) return;
      for (const [field, input] of inputs) complain(field, input, error.fields.get(field.name) ?? '');
      const elsewhere = [...error.fields].filter(([name]) => ![...inputs.keys()].some((field) => field.name === name));
      this.say([sayProblem(error), ...elsewhere.map(([, words]) => words)].join(' '));
      if (error.status === 409) this.callbacks.onStale();
    } finally {
      this.busy = false;
      for (const button of buttons) button.removeAttribute('aria-disabled');
    }
  }

  private say(words: string): void {
    setText(this.trouble, words);
  }
}

/** A refusal in words for the operator. */
export function sayProblem(problem: Problem): string {
  if (problem.status === 0) return t('problem.unreachable');
  if (problem.status === 409) return [problem.message, t('problem.stale')].filter(Boolean).join(' ');
  return problem.message || t('problem.unknown', { status: problem.status });
}

function labelOf(field: ActionField): string {
  if (field.label) return field.label;
  if (field.name === 'reason' || field.name === 'condition' || field.name === 'department') return t(`field.${field.name}`);
  return field.name;
}

function inputFor(field: ActionField): Input {
  const common = { name: field.name, 'data-testid': `field-${field.name}`, 'aria-describedby': `error-${field.name}` };
  if (field.choices) {
    const empty = !field.required || field.value === null || field.value === undefined;
    const select = el(
      'select',
      common,
      empty ? el('option', { value: '' }, field.empty_label ?? t('action.choose')) : null,
      ...field.choices.map((choice) => el('option', { value: choice.value }, choice.label)),
    );
    select.value = field.value === null || field.value === undefined ? '' : String(field.value);
    return select;
  }
  if (field.kind === 'moment') return el('input', { ...common, type: 'datetime-local' });
  if (field.name === 'reason' || field.kind === 'text') return el('textarea', { ...common, rows: 3, maxlength: 2000 });
  return el('input', { ...common, type: 'text', value: field.value ?? '' });
}

function valueOf(field: ActionField, input: Input): FieldValue {
  if (field.choices) return field.choices.find((choice) => String(choice.value) === input.value)?.value ?? null;
  if (field.kind === 'moment') return input.value ? momentOf(input.value) : null;
  return input.value.trim();
}

function complete(inputs: Map<ActionField, Input>): boolean {
  let first: Input | undefined;
  for (const [field, input] of inputs) {
    const missing = field.required && !input.value.trim();
    complain(field, input, missing ? t('action.required', { field: labelOf(field) }) : '');
    if (missing) first ??= input;
  }
  first?.focus();
  return first === undefined;
}

function complain(field: ActionField, input: Input, words: string): void {
  input.setAttribute('aria-invalid', String(words !== ''));
  const place = input.parentElement?.querySelector(`#error-${CSS.escape(field.name)}`);
  if (place) setText(place, words);
}
