/** Requests to the command center's HTTP interface; refusals become `Problem`. */

import type {
  CallBack,
  CellElement,
  Detail,
  ElementCounts,
  ElementDetail,
  FieldValue,
  OwedReply,
  Place,
  ProblemBody,
  Session,
  ShiftRow,
  Snapshot,
  Supervision,
  Track,
  UndeliveredLetter,
  View,
} from './contract';

/** A refusal that says what is wrong (RFC 9457), or, with status 0, a server that could not be reached. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  /** Words for single fields, by field name. */
  readonly fields: Map<string, string>;

  constructor(status: number, body: ProblemBody) {
    super(body.detail || body.title || '');
    this.status = status;
    this.code = body.code ?? '';
    this.fields = new Map((body.errors ?? []).map((error) => [error.pointer.replace(/^#\//, ''), error.detail]));
  }
}

export const loadSession = (): Promise<Session> => request('/api/command/session');

export function loadSnapshot(view: View, signal?: AbortSignal): Promise<Snapshot> {
  const query = new URLSearchParams();
  if (view.area) query.set('area', view.area.join());
  if (view.phases) query.set('phases', view.phases.join());
  return request(`/api/command/events?${query}`, { signal });
}

export const loadDetail = (id: string, signal?: AbortSignal): Promise<Detail> =>
  request(`/api/command/events/${encodeURIComponent(id)}`, { signal });

/** The letters that no device acknowledges, oldest first. */
export const loadUndelivered = (): Promise<{ letters: UndeliveredLetter[] }> => request('/api/command/undelivered');

/** The cards that nobody has answered, most urgent first. */
export const loadSupervisions = (): Promise<{ supervisions: Supervision[] }> => request('/api/command/supervisions');

/** The reporters whom the viewer's desk is to call. */
export const loadCallBacks = (): Promise<{ call_backs: CallBack[] }> => request('/api/command/call-backs');

/** The reporters whom the viewer's desk owes a reply. */
export const loadReplies = (): Promise<{ replies: OwedReply[] }> => request('/api/command/replies');

/** Whom to call; the server writes down who asks. */
export const loadContact = (callBack: string): Promise<{ name: string; phone: string }> =>
  request(`/api/command/call-backs/${encodeURIComponent(callBack)}/contact`, {
    method: 'POST',
    headers: { 'X-CSRFToken': csrfToken() },
  });

/** The boundaries of level 1 to 5 or of the cells, as a GeoJSON FeatureCollection in WGS-84. */
export const loadGrid = (level: string): Promise<object> => request(`/api/command/grid/${level}`);

/** One cell with its organisations, likewise. */
export const loadCell = (code: string): Promise<object> =>
  request(`/api/command/grid/cells/${encodeURIComponent(code)}`);

/** Which cell a place (WGS-84 degrees) lies in, or lay in on a day of the district: on a border, too, the server's word. */
export const loadPlace = ([lon, lat]: [number, number], signal?: AbortSignal, day = ''): Promise<Place> =>
  request(`/api/command/place?x=${lon}&y=${lat}&system=WGS84${day && `&day=${day}`}`, { signal });

/** The newest shifts whose tracks the viewer may replay; of one person, or of all. */
export const loadShifts = (person: number | null): Promise<ShiftRow[]> =>
  request<{ shifts: ShiftRow[] }>(`/api/command/shifts${person === null ? '' : `?person=${person}`}`).then(({ shifts }) => shifts);

/** The track of a shift; the server writes down who asks, and why. */
export const loadTrack = (shift: string, purpose: string): Promise<Track> =>
  request(`/api/command/shifts/${encodeURIComponent(shift)}/replay`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken() },
    body: JSON.stringify({ purpose }),
  });

/** How many elements stand in which cell. */
export const loadElementCounts = (): Promise<ElementCounts> => request('/api/command/elements/counts');

/** One element, as the server knows it now. */
export const loadElement = (id: string): Promise<ElementDetail> => request(`/api/command/elements/${encodeURIComponent(id)}`);

/** The elements of one cell, at most 300. */
export const loadCellElements = (cell: string): Promise<{ truncated: boolean; elements: CellElement[] }> =>
  request(`/api/command/cells/${encodeURIComponent(cell)}/elements`);

/** Take a step with an event; answers the event anew. `version` is what the operator saw. */
export const act = (id: string, action: string, fields: Record<string, FieldValue>, version: number): Promise<Detail> =>
  request(`/api/command/events/${encodeURIComponent(id)}/${encodeURIComponent(action)}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken() },
    body: JSON.stringify({ ...fields, version }),
  });

export function csrfToken(): string {
  return /(?:^|;\s*)csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? '';
}

/** Leave for the login page, and come back to the same selection. */
export function goToLogin(): void {
  location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.hash)}`);
}

async function request<T>(path: string, init: RequestInit & { signal?: AbortSignal | undefined } = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      credentials: 'same-origin',
      ...init,
      headers: { Accept: 'application/json, application/geo+json, application/problem+json', ...init.headers },
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, {});
  }
  if (response.ok) {
    return (await response.json().catch(() => {
      throw new Problem(0, {});
    })) as T;
  }
  const body = (await response.json().catch(() => ({}))) as ProblemBody;
  if (response.status === 401 || body.code === 'not_authenticated') goToLogin();
  throw new Problem(response.status, body);
}
