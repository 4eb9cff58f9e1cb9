/** The server's time, told in the district's zone; an old PC's own clock and zone may be wrong. */

import { language, t } from './i18n';

const ZONE = 'Asia/Shanghai';
const OFFSET = '+08:00';
const MINUTE = 60_000;
const locale = language === 'en' ? 'en-GB' : 'zh-CN';
const format = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat(locale, { timeZone: ZONE, hourCycle: 'h23', ...options });
const day = format({ month: '2-digit', day: '2-digit' });
const minute = format({ hour: '2-digit', minute: '2-digit' });
const second = format({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const full = format({ year: 'numeric', month: 'long', day: 'numeric', weekday: 'short' });
const isoDay = new Intl.DateTimeFormat('en-CA', { timeZone: ZONE, dateStyle: 'short' });

let ahead = 0;

export function setServerTime(time: number): void {
  if (Number.isFinite(time)) ahead = time - Date.now();
}

/** Now, by the server's clock, in milliseconds since 1970. */
export const serverNow = (): number => Date.now() + ahead;

/** A moment of this machine's clock, by the server's. */
export const asServerTime = (local: number): number => local + ahead;

export const clockTime = (time: number): string => second.format(time);

export const longDate = (time: number): string => full.format(time);

/** The district's day, as a field for a day holds it. */
export const today = (): string => isoDay.format(serverNow());

/** The time of day; with the date unless it is today. */
export function shortTime(iso: string): string {
  const time = Date.parse(iso);
  const sameDay = full.format(time) === full.format(serverNow());
  return sameDay ? minute.format(time) : `${day.format(time)} ${minute.format(time)}`;
}

export const exactTime = (iso: string): string => `${day.format(Date.parse(iso))} ${second.format(Date.parse(iso))}`;

/** A duration in the two largest units that matter. */
export function duration(milliseconds: number): string {
  const minutes = Math.floor(Math.abs(milliseconds) / MINUTE);
  const [days, hours, rest] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  if (days) return t('time.days_hours', { days, hours });
  if (hours) return t('time.hours_minutes', { hours, minutes: rest });
  return t('time.minutes', { minutes: rest });
}

/** How long until `due`, or how long it is overdue. */
export function dueIn(due: string): string {
  const left = Date.parse(due) - serverNow();
  return t(left >= 0 ? 'due.left' : 'due.over', { time: duration(left) });
}

/** What a field for a day and time holds, as a moment: the district's zone is meant, whatever the PC's. */
export const momentOf = (local: string): string => `${local}:00${OFFSET}`;
