/** What the server sends and takes: the command center's HTTP interface and the map socket. */

export type Phase = 'intake' | 'dispatch' | 'handling' | 'checking' | 'closed' | 'declined';
/** The stretches of an event's way that one party answers for each. */
export type Stage = 'accept' | 'dispatch' | 'sign_in' | 'verify' | 'check';
export type Light = 'green' | 'yellow' | 'red' | 'none';

export const PHASES: readonly Phase[] = ['intake', 'dispatch', 'handling', 'checking', 'closed', 'declined'];
export const ENDED: ReadonlySet<Phase> = new Set<Phase>(['closed', 'declined']);

/** One event as the map and the list show it. Times are ISO 8601 in UTC, `point` is WGS-84 [lon, lat] in degrees. */
export interface Frame {
  id: string;
  number: string;
  version: number;
  status: string;
  phase: Phase;
  light: Light;
  point: [number, number];
  class: { code: string; name: string };
  kind: 'event' | 'component';
  cell: string;
  /** The fix may mean another cell, or lies outside the district. */
  in_doubt: boolean;
  street: string;
  community: string;
  department: string | null;
  handler: string | null;
  description: string;
  received_at: string;
  warn_at?: string | null;
  due_at: string | null;
  /** The stage the event waits in, where it has a limit. */
  stage?: { name: Stage; light: Light; warn_at: string; due_at: string } | null;
  updated_at: string;
}

/** What the page asks for: west, south, east, north in degrees of WGS-84, and phases; null is all. */
export interface View {
  area: [number, number, number, number] | null;
  phases: Phase[] | null;
}

/** How many events one may see, whatever the view. */
export interface Counts {
  phases: Partial<Record<Phase, number>>;
  red: number;
}

export interface Snapshot {
  truncated: boolean;
  events: Frame[];
}

export interface LevelName {
  level: number;
  label: string;
  name: string;
  code: string;
}

export interface WorkOrder {
  id: string;
  department: string;
  post: string;
  dispatched_at: string | null;
  received_at: string | null;
  seen_at: string | null;
  taken_on_at: string | null;
  handled_at: string | null;
  expired_at?: string | null;
  recalled_at?: string | null;
  sent_back_at?: string | null;
  due_at: string | null;
  part: string;
  part_label: string;
  arrived_at: string | null;
  released_at: string | null;
  /** Nobody ended it yet. */
  open: boolean;
}

/** Somebody was sent to look at a case, and what they found. */
export interface SiteCheck {
  id: string;
  kind: string;
  kind_label: string;
  post: string;
  sent_label: string;
  asked_at: string;
  due_at: string;
  done_at: string | null;
  ended_at: string | null;
  outcome: string;
  outcome_label: string | null;
  note: string;
  metres_away: number | null;
  flags: string[];
}

export interface Photo {
  id: string;
  step: string;
  url: string;
  thumbnail_url: string | null;
  taken_at: string | null;
}

export interface TimelineEntry {
  id: string;
  version: number;
  kind: string;
  kind_label: string;
  from: string | null;
  to: string | null;
  by: string | null;
  post: string | null;
  /** In whose place the person acted, if in somebody's. */
  stood_in_for: string | null;
  occurred_at: string;
  reason: string;
  data: Record<string, unknown>;
}

/** What a case was before it was reclassified, and what it is since. */
export interface Reclassified {
  before: { class_name: string; limit_text: string; due_at: string | null; used_seconds: number };
  after: { class_name: string; limit_text: string; due_at: string | null };
}

/** A fact of delivery: sent, received, seen, accepted, or who was told when it was not. */
export interface DeliveryFact {
  at: string;
  kind: string;
  label: string;
  post: string;
  order: string | null;
}

/** A letter that went to the dispatcher because no device acknowledged it. */
export interface UndeliveredLetter {
  event: string;
  number: string;
  class: string;
  letter: string;
  post: string;
  sent_at: string;
  stage: 'dispatcher' | 'supervisor';
}

/** A card: somebody is pressed about an event, and answers. */
export interface Supervision {
  id: string;
  event: string;
  number: string;
  class: string;
  card: 'reminder' | 'yellow' | 'red';
  card_label: string;
  level_label: string | null;
  post: string;
  by: string | null;
  reason: string;
  asked_at: string;
  answer_due_at: string;
  /** The case ended without an answer, and began anew. */
  ended_at: string | null;
  /** The viewer is asked to answer it. */
  mine: boolean;
  answer: {
    at: string;
    by: string;
    received_when: string | null;
    contacted: string;
    measures: string;
    new_deadline: string | null;
  } | null;
}

/** What a reporter is asked about a closed event; the contact is masked. */
export interface CallBack {
  id: string;
  event: string;
  number: string;
  class: string;
  way: 'app' | 'desk' | 'code';
  way_label: string;
  reporter: string;
  asked_at: string;
  answer_until: string;
  timed_out_at: string | null;
  answered_at: string | null;
  rating_label: string | null;
  resolved: boolean | null;
  reason: string;
  reopened: boolean;
}

export type FieldValue = string | number | null;

export interface ActionField {
  name: string;
  /** `text` takes several lines, `moment` a day and time in the district's zone. */
  kind?: 'text' | 'moment';
  label?: string;
  required: boolean;
  value?: FieldValue;
  empty_label?: string;
  choices?: { value: string | number; label: string }[];
}

export interface Action {
  name: string;
  label: string;
  fields: ActionField[];
}

/** A component as the panels show it. */
export interface ComponentFacts {
  code: string;
  class: string;
  name?: string;
  state_label?: string;
  departments: { label: string; name: string }[];
}

/** How many elements of which kind stand in which cell; people are never counted. */
export interface ElementCounts {
  kinds: { kind: string; label: string }[];
  cells: Record<string, Record<string, number>>;
}

/** One element of a cell. */
export interface CellElement {
  id: string;
  kind: string;
  kind_label: string;
  category: string;
  name: string;
  state: string;
  state_label: string;
  component: ComponentFacts | null;
}

/** One element, wherever it stands. */
export interface ElementDetail extends CellElement {
  point: [number, number] | null;
  cell: string;
  note: string;
}

export interface Detail extends Frame {
  condition: { text: string; closing: string; limit_text: string } | null;
  component: ComponentFacts | null;
  levels: LevelName[];
  doubt: { accuracy_m: number | null; outside_m: number | null; candidates: { code: string; community: string; share: number }[] } | null;
  responsibility: { department: string; why: string } | null;
  reports: {
    id: string;
    channel_label: string;
    /** Its own number, where it came as another case. */
    number: string | null;
    reported_at: string;
    reporter: string;
    /** Where a desk took it down. */
    reply_due_at: string | null;
    replied_at: string | null;
  }[];
  work_orders: WorkOrder[];
  photos: Photo[];
  timeline: TimelineEntry[];
  request: { label: string; reason: string; until: string | null } | null;
  deferred_until: string | null;
  delivery: DeliveryFact[];
  supervisions: Supervision[];
  call_backs: CallBack[];
  checks: SiteCheck[];
  /** How it ended; null while it has not. */
  closing_label: string | null;
  /** How many times its limit it is over it, while it is. */
  overdue_multiple: number | null;
  /** How often departments sent it back. */
  returns: number;
  nearby: string[];
  /** The case that goes on where this one told of the same problem. */
  merged_into: { id: string; number: string } | null;
  actions: Action[];
}

/** Somebody who reported through a desk and waits to be told what came of it. */
export interface OwedReply {
  id: string;
  event: string;
  number: string;
  class: string;
  status: string;
  status_label: string;
  channel_label: string;
  external_number: string;
  matter: string;
  matter_label: string;
  reply_due_at: string;
}

/** The cell of a place, as the server resolves it. */
export interface Place {
  cell: string | null;
  levels: LevelName[];
}

export interface Post {
  role: string;
  label: string;
  unit: string;
  department: string | null;
  /** In whose place the person holds it, if in somebody's. */
  stands_in_for: string | null;
}

export interface Session {
  user: { name: string; posts: Post[] };
  district: { code: string; name: string; bbox: [number, number, number, number]; notice: string };
  levels: { level: number; label: string }[];
  statuses: { code: string; label: string; phase: Phase; open: boolean }[];
  socket: string;
  roles: Record<string, string>;
  /** Whether this viewer may see workers on the map, and replay their tracks. */
  workers: { watch: boolean; replay: boolean };
  /** Whether this viewer may see figures. */
  figures: boolean;
}

/** Somebody on duty: what does not change with every fix. `id` is the shift; `inside`: proved to be in the own area. */
export interface WorkerFacts {
  id: string;
  person: number;
  name: string;
  post: string;
  role: string;
  unit: string;
  since: string;
  inside: boolean | null;
}

/** Longitude, latitude (WGS-84), accuracy (m), time (ms since 1970), battery (%), mock, jump, on line. */
export type WorkerPlace = [
  number | null,
  number | null,
  number | null,
  number | null,
  number | null,
  boolean,
  boolean,
  boolean,
];

export interface WorkersMessage {
  type: 'workers';
  reset: boolean;
  on_duty: WorkerFacts[];
  places: Record<string, WorkerPlace>;
  gone: string[];
}

export interface ShiftRow {
  id: string;
  person: number;
  name: string;
  post: string;
  started_at: string;
  ended_at: string | null;
}

export interface TrackPoint {
  at: string;
  point: [number, number];
  accuracy_m: number | null;
  battery: number | null;
  mock: boolean;
  jump: boolean;
}

export interface Track {
  shift: Omit<ShiftRow, 'person'>;
  points: TrackPoint[];
  fixes: number;
  crossings: { at: string; entered: boolean; point: [number, number] }[];
}

/** What the map socket says. */
export type Message =
  | { type: 'hello'; server_time: string }
  | { type: 'events'; events: Frame[] }
  | { type: 'gone'; ids: string[] }
  | ({ type: 'counts' } & Counts)
  | { type: 'notice'; text: string }
  | { type: 'subscribed'; id: number }
  | WorkersMessage
  | { type: 'refetch' }
  | { type: 'pong' };

/** RFC 9457 problem details. */
export interface ProblemBody {
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  errors?: { pointer: string; detail: string }[];
}
