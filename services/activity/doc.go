// Package activity tells PCNs the number and the notional cost of their patients' A&E attendances, month by month: it takes files of
// aggregates in, counts them by PCN, publishes each PCN its own rows, and keeps proof of what was given to whom and when.
//
// A file makes a cut of every commissioner and month in it. A report is a version built from the newest cut, the members of the first of
// the month as the register has them, and the prices and settings known then; the same again is the same version. Nothing is overwritten.
// Whoever is neither of the PCN nor of the commissioner sees shared views, which hide small counts and what would give them away; so do
// events.
package activity
