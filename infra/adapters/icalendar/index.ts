export { type BadItem, type CalendarContent, type CalendarOptions, readCalendar } from './calendar.ts'
