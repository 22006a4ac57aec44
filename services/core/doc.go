// Package core pays core PCN funding and the other per-head and per-bed payments of the Network Contract DES.
//
// Words, each with one meaning:
//
//   - A payment is what the contract names, such as CORE_PCN; a component is one of several rates within it.
//   - A rate is pounds per unit for the whole of a period; a version is one row of it, with source and confidence.
//   - An instalment is one month's part of a period, rounded by a convention.
//   - An entitlement is what is due for a month by the figures now known; a schedule is what was fixed, and never changes.
//   - A line pays one beneficiary for one month; an adjustment is a line that brings what was scheduled to what is due.
//   - A refusal is what cannot be computed for want of a figure; what is withheld was computed and is not paid.
//   - Registered, contractor weighted and adjusted populations are three figures that are never exchanged.
//
// The rules are in internal/rules, free of input and output; the figures are in internal/tables and seed the database.
package core
