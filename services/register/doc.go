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
//
// Rules of precedence are in internal/rules; the files read are described in internal/files.
package register
