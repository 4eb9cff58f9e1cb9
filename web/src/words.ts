import type { Frame, Phase, Session } from './contract';
import { t } from './i18n';
import { dueIn } from './time';

let statusLabels = new Map<string, string>();
let roleLabels = new Map<string, string>();

/** The server's words for statuses and roles, in the viewer's language. */
export function learnWords(session: Session): void {
  statusLabels = new Map(session.statuses.map((status) => [status.code, status.label]));
  roleLabels = new Map(Object.entries(session.roles));
}

export const statusLabel = (code: string): string => statusLabels.get(code) ?? code;

export const roleLabel = (code: string): string => roleLabels.get(code) ?? code;

export const phaseLabel = (phase: Phase): string => t(`phase.${phase}`);

/** What the clock of an open event says; empty when none runs. */
export const clockWords = (frame: Frame): string => (frame.due_at && frame.light !== 'none' ? dueIn(frame.due_at) : '');

export const placeOf = (frame: Frame): string => [frame.street, frame.community].filter(Boolean).join(' · ');
