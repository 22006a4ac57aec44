// Package register knows which practices make up which PCN, who owes it money, who receives it, and its populations, on any day
// and as known at any moment.
//
// Its words:
//
//   - A load is one version of reference data: a file, or one recorded figure. Nothing loaded is changed or taken back; a later
//     load outranks an earlier one from the moment it becomes known.
//   - A mapping is a published picture of one day: practice to PCN, commissioner, system and region. An edition is a set of dated
//     relationships, from which membership on any day can be read.
//   - The lead is the location (CCG, from July 2022 sub-ICB location) a PCN belongs to; the payer is the body that owes the
//     PCN's payments on a day: the CCG to 30 June 2022, the ICB after.
//   - A snapshot is an immutable picture of a day for one commissioner or for England, named by a hash of its content.
//   - A finding is something odd that a payer must know before trusting a snapshot.
//   - A requirement is one phase of a service requirement of the Network Contract DES in a financial year; its versions are dated
//     data. Where a PCN stands with it follows from a history of steps and from the day that is asked for.
//   - An item of the planning calendar is something to be done by a day or within a window, by a body of some level.
//
// Rules of precedence, of requirements and of the calendar are in internal/rules; the files read are described in internal/files.
package register
