// Package rules counts the attendances of a month by PCN and says what they would notionally cost, from what it is given: no input or
// output, no clock, nothing remembered between calls.
//
// Words, each with one meaning:
//
//   - A cut is what one file brought of the attendances of a commissioner in a month; a later one takes its place.
//   - A report is one version of those attendances by PCN; it rests on one cut, the members of the first of the month, and what was known
//     of prices and settings when it was built.
//   - NO_PCN stands for practices in no PCN and UNKNOWN for attendances of which no practice is known; with them a report adds up to its
//     cut.
//   - A notional cost is what attendances would cost by a list of prices. Nobody owes it: providers were paid in blocks.
//   - A shared view is what others than the PCN and the commissioner see; it hides small counts and whatever would give them away.
//
// Where the texts are silent:
//
//   - Which day of an attendance counts is not stated; the month of arrival does, and the members of its first day.
//   - A row's cost is rounded once, half up to the penny, and sums are of rounded rows.
//   - A cost that the file gives goes before a list. A list that stands in for a tariff takes no market forces factor, since average unit
//     costs hold what providers really spent.
//   - The registered list of a PCN is known where that of each of its members is.
package rules
